package supervisor

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/gate"
)

// The behaviours B1-B11 of docs/requirements.md, as far as they are the
// supervisor's. Those of the package are tested beside it.

// stop ends the supervisor by a signal to this very process, as an operator's.
func (s *stage) stop() Report {
	s.t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	return s.ended()
}

// do carries out a command and wants a verdict.
func (s *stage) do(r control.Request, want int) control.Verdict {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	v := s.Do(ctx, r, func([]control.Progress) {})
	if v.Code != want {
		s.t.Errorf("%s %s: %+v, want code %d", r.Verb, r.Target, v, want)
	}
	return v
}

// workers returns the workers by name; of two lives in a slot the newer.
func (s *stage) workers() map[string]control.Worker {
	s.t.Helper()
	st, err := s.Status(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	out := make(map[string]control.Worker)
	for _, p := range st.Programs {
		for _, w := range p.Workers {
			out[w.Worker] = w
		}
	}
	return out
}

// plainWeb runs n plain servers on one socket.
func plainWeb(t *testing.T, n int) (*stage, string) {
	l := web(t)
	p := program("web", n, "plain")
	p.Listen = []string{"web"}
	s := run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}})
	s.logged("msg=ready\n")
	return s, l.Address.Address
}

// hit asks the server to do something to the process that answers, which then
// cannot answer.
func hit(addr, path string) {
	c := &http.Client{Timeout: 10 * time.Second}
	if r, err := c.Get("http://" + addr + path); err == nil {
		r.Body.Close()
	}
}

func TestB1CrashRestartsInTheSameSlot(t *testing.T) {
	s, addr := plainWeb(t, 3)
	before := s.workers()
	for _, path := range []string{"/exit?2", "/exit?3", "/kill?9"} {
		was := s.workers()
		hit(addr, path)
		s.until("the worker is replaced", func() bool {
			now, changed := s.workers(), 0
			for name, w := range now {
				if w.PID != was[name].PID {
					changed++
				}
				if w.State != "ready" {
					return false
				}
			}
			return changed == 1
		})
	}
	after := s.workers()
	restarts := 0
	for name, w := range after {
		restarts += w.Restarts
		if w.Slot != before[name].Slot || w.Life < before[name].Life {
			t.Errorf("%s: %+v before, %+v after", name, before[name], w)
		}
	}
	if len(after) != 3 || restarts != 3 {
		t.Errorf("%d workers, %d restarts after 3 crashes: %+v", len(after), restarts, after)
	}
	if got := s.get(addr, "/"); !strings.Contains(got, " ") {
		t.Errorf("after the crashes GET / = %q", got)
	}
	for _, want := range []string{"exited with status 2", "exited with status 3", "was killed by signal 9"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v: crashes before the stop must not count", r)
	}
}

func TestB2ExitZeroIsNotRestarted(t *testing.T) {
	l := web(t)
	p := program("web", 2, "plain")
	p.Listen, p.Restart = []string{"web"}, "on-failure"
	s := run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}})
	s.logged("msg=ready\n")
	addr := l.Address.Address
	before := s.workers()
	hit(addr, "/exit?2") // that is a failure
	s.changed(before)
	hit(addr, "/exit?0")
	var left string
	s.until("one is ended, the other serves", func() bool {
		states := make(map[string]string)
		for name, w := range s.workers() {
			states[w.State] = name
		}
		left = states["ready"]
		return states["ended"] != "" && left != ""
	})
	for range 10 {
		if got := s.get(addr, "/"); !strings.HasPrefix(got, strings.TrimPrefix(left, "web.")+" ") {
			t.Errorf("GET / = %q, want it from %s", got, left)
		}
	}
	hit(addr, "/exit?0") // the last one: everything has ended, and well
	if r := s.ended(); r.Code != 0 || r.Err != nil {
		t.Errorf("report %+v", r)
	}
}

func TestB3BudgetIsExact(t *testing.T) {
	l := web(t)
	p := program("web", 1, "plain")
	p.Listen, p.MaxRestarts = []string{"web"}, 3
	s := run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}})
	s.logged("msg=ready\n")
	for range 3 {
		before := s.workers()
		hit(l.Address.Address, "/exit?2")
		s.changed(before)
	}
	if w := s.workers()["web.0"]; w.Restarts != 3 || w.State != "ready" {
		t.Errorf("after three crashes: %+v", w)
	}
	hit(l.Address.Address, "/exit?2")
	if r := s.ended(); r.Code != exitGaveUp || !errorSays(r.Err, "web has no worker left") {
		t.Errorf("report %+v after the fourth", r)
	}
}

func TestB4ZeroWhenAllEndedZero(t *testing.T) {
	s, addr := plainWeb(t, 2)
	if r := s.stop(); r.Code != 0 || r.Err != nil {
		t.Errorf("report %+v", r)
	}
	if got := s.get(addr, "/"); !strings.Contains(got, "refused") {
		t.Errorf("after the stop GET / = %q", got)
	}
}

func TestB5SignalDeathsAreRestarted(t *testing.T) {
	for _, policy := range []string{"always", "on-failure"} {
		l := web(t)
		p := program("web", 2, "plain")
		p.Listen, p.Restart = []string{"web"}, policy
		s := run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}})
		s.logged("msg=ready\n")
		for _, sig := range []syscall.Signal{syscall.SIGABRT, syscall.SIGKILL, syscall.SIGSEGV} {
			before := s.workers()
			s.do(control.Request{Verb: "signal", Target: "web.0", Signal: strconv.Itoa(int(sig))}, control.Done)
			if name := s.changed(before); name != "web.0" {
				t.Errorf("%s is restarted after %v to web.0", name, sig)
			}
		}
		if r := s.stop(); r.Code != 0 {
			t.Errorf("report %+v", r)
		}
	}
	// The part dies of TERM, where plain obeys it.
	s := run(t, Config{Name: "test", Programs: []Program{program("web", 2, "sleep")}})
	s.logged("msg=ready\n")
	before := s.workers()
	s.do(control.Request{Verb: "signal", Target: "web.1", Signal: "TERM"}, control.Done)
	if name := s.changed(before); name != "web.1" {
		t.Errorf("%s is restarted after TERM to web.1", name)
	}
	s.logged("web.1 was killed by signal 15")
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// helped runs one plain web worker with a helper that ends when a file
// appears.
func helped(t *testing.T, how string) (s *stage, end func()) {
	file := t.TempDir() + "/end"
	l := web(t)
	helper := program("redis", 1, "until", file, how)
	p := program("web", 1, "plain")
	p.Listen, p.DependsOn = []string{"web"}, []string{"redis"}
	s = run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{helper, p}})
	s.logged("msg=ready\n")
	return s, func() {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestB6HelperExitIsSeenWithItsStatus(t *testing.T) {
	s, end := helped(t, "exit 5")
	end()
	s.logged(`reason="redis.0 exited with status 5"`)
	s.until("the helper is back", func() bool { w := s.workers()["redis.0"]; return w.State == "ready" && w.Life > 2 })
	if w := s.workers()["web.0"]; w.Life != 2 {
		t.Errorf("the helper's end restarted its dependant: %+v", w)
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestB7SignalDeathIsNotAnExitStatus(t *testing.T) {
	s, end := helped(t, "kill 15")
	end()
	s.logged(`reason="redis.0 was killed by signal 15"`)
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestB8FailureIsAnErrorAndAVerdict(t *testing.T) {
	p := program("web", 1, "exit", "1")
	s := run(t, Config{Name: "test", Programs: []Program{p}})
	r := s.ended()
	if r.Code != exitNotUp || r.Err == nil || !strings.Contains(r.Err.Error(), "web.0 exited with status 1") {
		t.Errorf("a program that exits 1 at its first start: %+v", r)
	}
	if !strings.Contains(fmt.Sprint(r.Err), "exiting 1") {
		t.Errorf("its last lines are missing: %v", r.Err)
	}
	s, end := helped(t, "exit 1")
	s.do(control.Request{Verb: "stop", Target: "web"}, control.Done)
	s.do(control.Request{Verb: "stop", Target: "redis"}, control.Done)
	end()
	v := s.do(control.Request{Verb: "start", Target: "redis.0"}, control.Died)
	if !strings.Contains(v.Text, "redis.0 exited with status 1") {
		t.Errorf("verdict %+v", v)
	}
	s.stop()
}

func TestB9StopIsIdempotent(t *testing.T) {
	s, addr := plainWeb(t, 2)
	for range 100 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	if r := s.ended(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
	if got := s.get(addr, "/"); !strings.Contains(got, "refused") {
		t.Errorf("GET / = %q", got)
	}
	if v := s.Do(context.Background(), control.Request{Verb: "stop"}, nil); v.Code != control.NotRunning {
		t.Errorf("a stop after the end: %+v", v)
	}
}

func TestB11SlotsOnceEachAndNoNoise(t *testing.T) {
	s, _ := plainWeb(t, 3)
	var slots []int
	for _, w := range s.workers() {
		slots = append(slots, w.Slot)
	}
	slices.Sort(slots)
	if !slices.Equal(slots, []int{0, 1, 2}) {
		t.Errorf("slots %v", slots)
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
	if out := s.out.String(); out != "" {
		t.Errorf("noise: %s", out)
	}
}

func TestHelperEndsAfterItsUsers(t *testing.T) {
	l := web(t)
	helper := program("redis", 1, "sleep")
	p := program("web", 2, "plain")
	p.Listen, p.DependsOn = []string{"web"}, []string{"redis"}
	s := run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{helper, p}})
	s.logged("msg=ready\n")
	s.do(control.Request{Verb: "restart", Target: "redis"}, control.Failed)
	s.do(control.Request{Verb: "stop", Target: "redis"}, control.Failed)
	s.do(control.Request{Verb: "restart", Target: "redis", Hard: true}, control.Done)
	if w := s.workers(); w["redis.0"].Life != 4 || w["web.0"].State != "ready" {
		t.Errorf("after a hard restart: %+v", w)
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
	log := s.log.String()
	last := strings.LastIndex(log, "msg=gone worker=web.")
	if helper := strings.LastIndex(log, "msg=draining worker=redis.0"); helper < last {
		t.Error("the helper was asked to end before the last worker had ended")
	}
}

func TestGateHoldsAForeignWorker(t *testing.T) {
	file := t.TempDir() + "/busy"
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := web(t)
	p := program("web", 1, "plain")
	p.Listen = []string{"web"}
	p.Gates = []gate.Spec{{Kind: "file", Target: file, Gate: true, Every: 10 * time.Millisecond}}
	s := run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}})
	s.logged("msg=ready\n")
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.logged("msg=gate worker=web.0")
	if w := s.workers()["web.0"]; w.State != "draining" || !strings.Contains(w.Reason, "gate") {
		t.Errorf("at the gate: %+v", w)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if r := s.ended(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestGateIsCutAtTheDeadline(t *testing.T) {
	p := program("web", 1, "sleep")
	p.DrainTimeout = 300 * time.Millisecond
	p.Gates = []gate.Spec{{Kind: "exec", Target: "false", Args: []string{"sh", "-c", "echo not yet; exit 1"}, Gate: true}}
	s := run(t, Config{Name: "test", Programs: []Program{p}})
	s.logged("msg=ready\n")
	if r := s.stop(); r.Code != exitCut || !strings.Contains(fmt.Sprint(r.Err), "gate") {
		t.Errorf("report %+v", r)
	}
	if !strings.Contains(s.log.String(), "not yet") {
		t.Error("the log does not say what the gate waited for")
	}
}

func TestScaleAndOneSlot(t *testing.T) {
	s, _ := plainWeb(t, 2)
	s.do(control.Request{Verb: "scale", Target: "web", Workers: 4}, control.Done)
	if n := len(s.workers()); n != 4 {
		t.Errorf("%d workers after scale 4", n)
	}
	s.do(control.Request{Verb: "drain", Target: "web.1"}, control.Done)
	if w := s.workers()["web.1"]; w.PID != 0 || w.State != "stopped" {
		t.Errorf("drained web.1: %+v", w)
	}
	s.do(control.Request{Verb: "start", Target: "web.1"}, control.Done)
	s.do(control.Request{Verb: "scale", Target: "web", Workers: 1}, control.Done)
	if n := len(s.workers()); n != 1 {
		t.Errorf("%d workers after scale 1", n)
	}
	s.do(control.Request{Verb: "restart", Target: "web.3"}, control.NoSuch)
	s.do(control.Request{Verb: "signal", Target: "web.0", Signal: "CONT"}, control.Done)
	s.do(control.Request{Verb: "signal", Target: "web.0", Signal: "NONSENSE"}, control.Failed)
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestKilledAtTheDeadline(t *testing.T) {
	p := program("web", 1, "deaf")
	p.DrainTimeout = 200 * time.Millisecond
	s := run(t, Config{Name: "test", Programs: []Program{p}})
	s.logged("msg=ready\n")
	pid := s.workers()["web.0"].PID
	if r := s.stop(); r.Code != exitDied {
		t.Errorf("report %+v", r)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %s is still there: %v", strconv.Itoa(pid), err)
	}
}
