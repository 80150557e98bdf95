package prefork_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/prefork"
)

// partVariable makes the test binary play a program that uses the package. Its
// workers inherit it, and so play the same.
const partVariable = "PREFORK_TEST_PART"

func TestMain(m *testing.M) {
	if part := os.Getenv(partVariable); part != "" {
		play(part)
		return
	}
	// The race detector holds every process for a second at its exit.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

// drive is the main of a program that does on its supervisor what its stdin
// says, a line for each command.
func drive(c prefork.Config) {
	c.Name, c.Logger = "app", slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var busy sync.Mutex // with a command, whose answer is to be heard
	s, err := prefork.New(c)
	if err == nil {
		if prefork.TaskID() < 0 {
			go obey(s, cancel, &busy)
		}
		err = s.Run(ctx)
	}
	busy.Lock()
	fmt.Printf("returned in %d: %v\n", prefork.TaskID(), err)
	os.Exit(prefork.ExitCode(err))
}

func obey(s *prefork.Supervisor, cancel context.CancelFunc, busy *sync.Mutex) {
	ctx := context.Background()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); busy.Unlock() {
		busy.Lock()
		verb, n := "", prefork.All
		fmt.Sscan(lines.Text(), &verb, &n)
		var answer any = "done"
		var err error
		switch verb {
		case "cancel":
			cancel()
		case "stop":
			err = s.Stop(ctx)
		case "cut":
			err = s.Cut(ctx)
		case "drain":
			err = s.Drain(ctx, n)
		case "start":
			err = s.Start(ctx, n)
		case "roll":
			err = s.Roll(ctx, n)
		case "scale":
			err = s.Scale(ctx, n)
		case "pid":
			answer, err = s.Pid(ctx, n)
		case "snapshot":
			answer, err = s.Snapshot(ctx)
		case "exec": // a child of its own, whose status must be its own
			answer = exec.Command("/bin/sh", "-c", fmt.Sprint("exit ", n)).Run().Error()
		case "pipe": // is SIGPIPE ignored in such a child?
			answer = string(must(exec.Command("/bin/sh", "-c", "kill -PIPE $$; echo ignored").Output()))
		}
		if err != nil {
			answer = err.Error()
		}
		line, _ := json.Marshal(answer)
		fmt.Printf("answer %s\n", line)
	}
}

func must(b []byte, _ error) []byte { return b }

// An app is one such program, and all its processes.
type app struct {
	t        *testing.T
	cmd      *exec.Cmd
	in       io.WriteCloser
	out, log *buffer
	answers  int
	ended    chan struct{} // closed when the parent has ended
}

func start(t *testing.T, part string, env ...string) *app {
	t.Helper()
	return startFile(t, os.Args[0], part, env...)
}

// startFile starts a copy of the test binary.
func startFile(t *testing.T, file, part string, env ...string) *app {
	t.Helper()
	a := &app{t: t, cmd: exec.Command(file, "{slot}", "argument"), out: &buffer{}, log: &buffer{}, ended: make(chan struct{})}
	a.cmd.Env = append(append(os.Environ(), partVariable+"="+part), env...)
	a.cmd.Stdout, a.cmd.Stderr = a.out, a.log
	var err error
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = a.cmd.Wait() // the status is in ProcessState
		close(a.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-a.ended:
		default: // the test has failed: its workers follow by themselves, or when told
			_ = a.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-a.ended:
			case <-time.After(10 * time.Second):
				_ = a.cmd.Process.Kill()
			}
		}
		if t.Failed() {
			t.Logf("log:\n%s\noutput:\n%s", a.log, a.out)
		}
	})
	return a
}

// ready starts one that comes up, and returns its first address, "" for none.
func ready(t *testing.T, part string, env ...string) (*app, string) {
	t.Helper()
	return start(t, part, env...).ready()
}

func (a *app) ready() (*app, string) {
	a.t.Helper()
	up := regexp.MustCompile(`(msg=|INFO )ready\n`)
	a.until("all is ready", func() bool { return up.MatchString(a.log.String()) })
	if m := regexp.MustCompile(`listening name.*address=(\S+)`).FindStringSubmatch(a.log.String()); m != nil {
		return a, m[1]
	}
	return a, ""
}

// until polls a condition.
func (a *app) until(what string, ok func() bool) {
	a.t.Helper()
	limit := time.After(30 * time.Second)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-limit:
			a.t.Fatalf("waited 30 s until %s", what)
		}
	}
}

func (a *app) says(text string) {
	a.t.Helper()
	a.until("it says "+text, func() bool { return strings.Contains(a.out.String(), text) })
}

// tell gives a command; answer waits for what came of the next one.
func (a *app) tell(line string) { fmt.Fprintln(a.in, line) }

func (a *app) answer() string {
	a.t.Helper()
	var lines []string
	a.until("it answers", func() bool {
		lines = nil
		for line := range strings.Lines(a.out.String()) {
			if text, ok := strings.CutPrefix(line, "answer "); ok && strings.HasSuffix(text, "\n") {
				lines = append(lines, strings.TrimSpace(text))
			}
		}
		return len(lines) > a.answers
	})
	a.answers++
	return lines[a.answers-1]
}

// do gives a command and wants it done.
func (a *app) do(line string) {
	a.t.Helper()
	a.tell(line)
	if got := a.answer(); got != `"done"` {
		a.t.Errorf("%s: %s", line, got)
	}
}

func (a *app) snapshot() prefork.Snapshot {
	a.t.Helper()
	a.tell("snapshot")
	text := a.answer()
	var s prefork.Snapshot
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		a.t.Fatalf("snapshot %s: %v", text, err)
	}
	return s
}

// pid returns the first process of a worker, from the log.
func (a *app) pid(worker string) int {
	a.t.Helper()
	m := regexp.MustCompile(`started worker=` + worker + ` .*pid=(\d+)`).FindStringSubmatch(a.log.String())
	if m == nil {
		a.t.Fatalf("%s was not started", worker)
	}
	pid, _ := strconv.Atoi(m[1])
	return pid
}

func (a *app) signal(sig syscall.Signal) {
	a.t.Helper()
	if err := a.cmd.Process.Signal(sig); err != nil {
		a.t.Fatal(err)
	}
}

// exits wants the parent to end with a status.
func (a *app) exits(code int) {
	a.t.Helper()
	select {
	case <-a.ended:
	case <-time.After(30 * time.Second):
		a.t.Fatal("the parent does not end")
	}
	if got := a.cmd.ProcessState.ExitCode(); got != code {
		a.t.Errorf("the parent ended with %v, want exit status %d", a.cmd.ProcessState, code)
	}
}

// count returns how often the output has a text.
func (a *app) count(text string) int { return strings.Count(a.out.String(), text) }

// get returns the body of a response, or the error.
func get(addr, path string) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	r, err := client.Get("http://" + addr + path)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

// gone wants a port that nobody holds.
func (a *app) gone(addr string) {
	a.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		a.t.Errorf("the port is still held: %v", err)
		return
	}
	l.Close()
}

// buffer collects the output of several processes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
