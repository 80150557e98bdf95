package prefork_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lastcall/lastcall/internal/testport"
	"github.com/lastcall/lastcall/prefork"
)

// TestB11TaskIDs wants each id once, no noise, and what F4 and F5 of a
// pre-forking parent promise: -1 in the parent, before and after.
func TestB11TaskIDs(t *testing.T) {
	a, _ := ready(t, "ids")
	for id := range 4 {
		a.says(fmt.Sprintf("id %d app.%d [{slot} argument]\n", id, id))
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", a.cmd.Process.Pid)); err == nil {
		worker, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", a.pid("app.0")))
		if string(worker) != string(name) {
			t.Errorf("the worker is named %q, %v; its parent %q", worker, err, name)
		}
	}
	a.signal(syscall.SIGTERM)
	a.exits(0)
	for line, n := range map[string]int{
		"main -1 ": 1, "main ": 5, "id ": 4, "told ": 4, "after in -1\n": 1, "after": 1, "returned in -1: <nil>\n": 1, "returned": 1,
		"deferred": 0,
	} {
		if got := a.count(line); got != n {
			t.Errorf("%q is there %d times, want %d", line, got, n)
		}
	}
	for line := range strings.Lines(a.log.String()) {
		if !strings.Contains(line, "level=INFO") {
			t.Errorf("on stderr: %s", line)
		}
	}
}

// TestCrashRestartsInTheSameSlot has a worker exit, one be killed and one panic
// (F9-F12): the id stays, the pid does not.
func TestCrashRestartsInTheSameSlot(t *testing.T) {
	a, addr := ready(t, "web")
	for i, end := range []func(){
		func() { get(addr, "/exit?3") },
		func() { get(addr, "/panic") },
		func() {
			a.tell("pid 1")
			pid, _ := strconv.Atoi(a.answer())
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
	} {
		before := a.snapshot()
		end()
		a.until("the slots serve again", func() bool {
			now, changed := a.snapshot(), 0
			if len(now.Workers) != 2 {
				t.Fatalf("%+v", now)
			}
			for slot, p := range now.Workers {
				if !p.Ready || p.Slot != slot || p.Name != fmt.Sprint("app.", slot) {
					return false
				}
				if was := before.Workers[slot]; p.Pid != was.Pid && p.Life > was.Life && p.Restarts == was.Restarts+1 {
					changed++
				}
			}
			return changed == 1
		})
		if got := a.count("main"); got != 4+i {
			t.Errorf("main has run %d times, want %d", got, 4+i)
		}
	}
	if !strings.Contains(a.log.String(), "a worker's own") {
		t.Error("the panic is not on stderr")
	}
	a.signal(syscall.SIGTERM)
	a.exits(0)
	a.gone(addr)
}

// TestB12StopWithWorkInFlight stops while a request runs and a second one is
// behind it on its connection: the first is answered, the second not executed,
// and only then After and Run's caller have their turn.
func TestB12StopWithWorkInFlight(t *testing.T) {
	a, addr := ready(t, "web")
	done := t.TempDir() + "/done"
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := fmt.Sprintf("GET /work?%s HTTP/1.1\r\nHost: test\r\n\r\n", done)
	if _, err := io.WriteString(c, request+request); err != nil {
		t.Fatal(err)
	}
	a.says("work begun")
	for range 100 { // a hundred are one
		a.signal(syscall.SIGTERM)
	}
	a.until("the port is free", func() bool {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			l.Close()
		}
		return err == nil
	})
	draining := func(p prefork.Process) bool { return p.State == "draining" && p.Inflight == 1 && !p.Ready }
	if got := a.snapshot(); got.State != "stopping" || !slices.ContainsFunc(got.Workers, draining) {
		t.Errorf("while it drains: %+v", got)
	}
	if a.count("after") > 0 || a.count("returned") > 0 {
		t.Error("After was called, or Run returned, while a worker lived")
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if string(body) != "worked, told: true" || err != nil || !response.Close {
		t.Errorf("response %q, %v, close %v", body, err, response.Close)
	}
	if rest, err := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("after the response: %q, %v", rest, err)
	}
	a.exits(0)
	if got := a.count("work begun"); got != 1 {
		t.Errorf("%d requests were executed", got)
	}
	if out := a.out.String(); strings.Index(out, "after in -1") > strings.Index(out, "returned in -1: <nil>") || a.count("after in") != 1 {
		t.Error("not After, and then the end of Run")
	}
}

// TestCut stops, and then has enough of it.
func TestCut(t *testing.T) {
	a, addr := ready(t, "web")
	answer := make(chan string)
	go func() { answer <- get(addr, "/work?/nowhere") }()
	a.says("work begun")
	a.signal(syscall.SIGTERM)
	a.until("the other has ended", func() bool { return strings.Contains(a.log.String(), "msg=gone worker=app.") })
	a.tell("cut")
	if got := a.answer(); !strings.HasPrefix(got, `"cut: work of app.`) {
		t.Errorf("cut: %s", got)
	}
	a.exits(5)
	if a.count("returned in -1: run: work of app.") != 1 {
		t.Error("Run does not name the worker")
	}
	<-answer
}

// TestPlainWorker serves without package lastcall: it gets its listener and is
// told by its context.
func TestPlainWorker(t *testing.T) {
	a, addr := ready(t, "plain")
	done := t.TempDir() + "/done"
	answer := make(chan string)
	go func() { answer <- get(addr, "/work?"+done) }()
	a.says("work begun")
	for _, want := range []string{"it has been taken before", `take listener "": not among ["app" "other"]`, `take listener "none"`} {
		a.says(want)
	}
	a.signal(syscall.SIGINT)
	a.until("it is asked to stop", func() bool { return strings.Contains(a.log.String(), "msg=draining") })
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; !strings.HasPrefix(got, "worked") {
		t.Errorf("the request in flight: %q", got)
	}
	a.exits(0)
	a.gone(addr)
}

// TestPorts wants each worker at a port of its own, before and after a roll.
func TestPorts(t *testing.T) {
	base, release, err := testport.Hold(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	a, _ := ready(t, "ports", fmt.Sprintf("BASE=%d", base))
	before := make(map[string]bool)
	for range 2 {
		for slot := range 2 {
			got := get(fmt.Sprintf("127.0.0.1:%d", base+slot), "/")
			if !strings.HasPrefix(got, fmt.Sprintf("%d ", slot)) || before[got] {
				t.Errorf("at port %d: %q", base+slot, got)
			}
			before[got] = true
		}
		a.do("roll")
	}
	a.signal(syscall.SIGTERM)
	a.exits(0)
	for slot := range 2 {
		a.gone(fmt.Sprintf("127.0.0.1:%d", base+slot))
	}
}

func TestSignalledWorker(t *testing.T) {
	a, _ := ready(t, "signalled")
	a.says(`take listener "": package lastcall has taken it`)
	// Said by the first; its successor is ended by its supervisor, at any time.
	a.says("the context has waited: true")
	a.signal(syscall.SIGTERM)
	a.exits(0)
}

// TestWait has Run run aside: what stands behind Wait is the parent's alone.
func TestWait(t *testing.T) {
	a, _ := ready(t, "wait")
	a.signal(syscall.SIGTERM)
	a.exits(0)
	if a.count("waited in -1: <nil>") != 1 || a.count("waited") != 1 {
		t.Error("not once, in the parent, and nil")
	}
}

// TestHelpers wants the order of R36 with two helpers, and the end of one in
// the middle.
func TestHelpers(t *testing.T) {
	dir := t.TempDir()
	a, _ := ready(t, "helpers", "DIR="+dir)
	a.says("id 1")
	before := a.snapshot()
	if len(before.Helpers) != 2 || before.Helpers[0].Name != "store.0" || !before.Helpers[1].Ready {
		t.Errorf("helpers %+v", before.Helpers)
	}
	if err := os.Remove(dir + "/store"); err != nil { // it ends, unasked
		t.Fatal(err)
	}
	a.until("the helper is back", func() bool {
		h := a.snapshot().Helpers[0]
		return h.Ready && h.Life != before.Helpers[0].Life
	})
	a.signal(syscall.SIGTERM)
	a.exits(0)
	out := a.out.String()
	at := -1
	for _, text := range []string{"up store.0", "up cache.0", "id ", "down store.0", "up store.0", "told ", "told ", "down cache.0", "down by TERM store.0", "after in -1", "returned"} {
		next := strings.Index(out[at+1:], text)
		if next < 0 {
			t.Fatalf("%q does not come in its turn", text)
		}
		at += 1 + next
	}
	for _, text := range []string{"told", "id"} {
		if a.count(text+" 0")+a.count(text+" 1") != 2 {
			t.Errorf("a worker ended or started with the helper: %q", text)
		}
	}
	for main, times := range map[string]int{"main -1 [store.0]": 2, "main -1 [cache.0]": 1, "main": 6} {
		if got := a.count(main); got != times {
			t.Errorf("%s has run %d times, want %d: once for each process", main, got, times)
		}
	}
}

func TestContextEndsIt(t *testing.T) {
	a, addr := ready(t, "web")
	a.do("cancel")
	a.exits(0)
	a.gone(addr)
	if a.count("after in -1") != 1 || a.count("returned in -1: <nil>") != 1 {
		t.Error("not once After, and Run returning nil")
	}
}

func TestNestedCall(t *testing.T) {
	a, _ := ready(t, "nested")
	a.says("nested: run prefork: a process calls Run once")
	a.says("main -1 [grandchild]\n")
	a.says("id 0")
	a.signal(syscall.SIGTERM)
	a.exits(0)
}

func TestRunCalledTwice(t *testing.T) {
	a := start(t, "twice")
	a.exits(0)
	if a.count("first: <nil>") != 1 || a.count("second: run prefork: a process calls Run once") != 1 || a.count("second") != 1 {
		t.Error("not nil, then an error, and in the parent only")
	}
	a.says(`waited: "run prefork: a process calls Run once, and a worker never does\nstop: `)
}

func TestBadConfigExits78(t *testing.T) {
	a := start(t, "bad")
	a.exits(78)
	if a.count("returned in -1: configure prefork: Workers: -1 is negative") != 1 {
		t.Error("the field is not named")
	}
}

// TestDidNotStart has a worker return an error before it was ready.
func TestDidNotStart(t *testing.T) {
	a := start(t, "early")
	a.exits(3)
	for _, want := range []string{"run: app.0 exited with status 1 before everything was ready", "app.0: no database"} {
		if a.count(want) != 1 {
			t.Errorf("it does not say %q", want)
		}
	}
}

// TestGivesUp has a worker return nil unasked: a crash like another, with no
// restart left.
func TestGivesUp(t *testing.T) {
	a, addr := ready(t, "late")
	get(addr, "/")
	a.exits(4)
	if a.count("run: app has no worker left: app.0 exited with status 0") != 1 {
		t.Error("it does not say so")
	}
}

func TestKilledAtTheDeadline(t *testing.T) {
	a, _ := ready(t, "stubborn")
	a.signal(syscall.SIGTERM)
	a.exits(6)
	if a.count("run: app.0 was killed") != 1 {
		t.Error("it does not say so")
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := start(t, "busy", "ADDRESS="+l.Addr().String())
	a.exits(3)
	if a.count("run: Listen[0]: listen for app: ") != 1 || a.count("after in -1") != 1 || a.count("main") != 1 {
		t.Error("it does not say so, once, and nothing else")
	}
}

// TestOwnChildren has the program run children of its own with os/exec while
// workers come and go.
func TestOwnChildren(t *testing.T) {
	a, addr := ready(t, "web")
	for i := range 40 {
		code := i%5 + 1
		if i%10 == 0 {
			get(addr, "/exit?0") // workers die meanwhile
		}
		a.tell(fmt.Sprint("exec ", code))
		if got, want := a.answer(), fmt.Sprintf(`"exit status %d"`, code); got != want {
			t.Errorf("a child that exits %d: %s", code, got)
		}
	}
	a.tell("pipe")
	if got := a.answer(); got != `""` {
		t.Errorf("SIGPIPE does not reach a child: %s", got)
	}
	a.signal(syscall.SIGTERM)
	a.exits(0)
}

// TestExecutableIsPinned takes the program's file away: what runs goes on, of
// one build.
func TestExecutableIsPinned(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can execute what has no name any more")
	}
	file := t.TempDir() + "/copy"
	binary, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(file, binary, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, addr := startFile(t, file, "web").ready()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	a.do("roll")
	if got := get(addr, "/"); !strings.Contains(got, " ") {
		t.Errorf("after the roll GET / = %q", got)
	}
	a.signal(syscall.SIGTERM)
	a.exits(0)
}

// TestParentKilled: workers that serve with package lastcall end by themselves.
func TestParentKilled(t *testing.T) {
	a, addr := ready(t, "web")
	a.signal(syscall.SIGKILL)
	a.exits(-1)
	a.until("the port is free", func() bool {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			l.Close()
		}
		return err == nil
	})
}

func TestLeaveSignals(t *testing.T) {
	a, _ := ready(t, "leave")
	a.signal(syscall.SIGTERM)
	a.says("my own TERM")
	// The end of a worker's own context is not its business.
	if err := syscall.Kill(a.pid("app.0"), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	a.says("the context ends in 0")
	a.signal(syscall.SIGUSR1)
	a.exits(0)
	if a.count("id 0") != 1 {
		t.Error("the worker has ended with its own context")
	}
	if a.count("returned: <nil>") != 1 || a.count("told 0") != 1 {
		t.Error("the end of the context did not stop it in order")
	}
}

func TestExamples(t *testing.T) {
	a, addr := ready(t, "example")
	if got := get(addr, "/"); !strings.HasPrefix(got, "worker ") {
		t.Errorf("GET / = %q", got)
	}
	a.signal(syscall.SIGTERM)
	a.exits(0)

	a, _ = ready(t, "after")
	a.signal(syscall.SIGTERM)
	a.exits(0)
	a.until("all is said", func() bool {
		return strings.HasSuffix(a.out.String(), "the last worker has gone\nRun returned <nil>\na deferred function runs\n")
	})

	a = start(t, "supervisor")
	a.exits(0)
	if !strings.Contains(a.out.String(), "siege.0 ready 0\nsiege.1 ready 0\n") {
		t.Error("the example does not say what it says")
	}
}
