package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/control"
)

// A house is one supervisor that is going to be killed, in a directory of its
// own.
type house struct {
	t      *testing.T
	dir    string
	temp   string // TMPDIR of all commands, with a short path: there are sockets in it
	addr   string
	marker string
	env    []string // of all commands, besides
	stdout *os.File // of the supervisor; nil: the log
	cmd    *exec.Cmd
}

// build starts the command on a configuration: two workers of a server on the
// package, one that knows nothing of it, a helper that all of them need, and
// more.
func build(t *testing.T, more ...string) *house {
	t.Helper()
	h := found(t)
	h.configure(fmt.Sprintf(`
[listen]
web = %q
[program.helper]
command = ["sh", "-c", "trap 'kill $!; echo down >>journal; exit' TERM; echo up >>journal; sleep 600 & wait"]
min_uptime = "10ms"
[program.web]
command = [%q]
workers = 2
listen = ["web"]
depends_on = ["helper"]
drain_timeout = "20s"
[program.foreign]
command = ["sh", "-c", "(sleep 600 & wait) & trap 'sleep 0.1; exit' TERM; sleep 600 & wait"]
min_uptime = "10ms"
depends_on = ["helper"]
drain_timeout = "2s"
stop_timeout = "2s"
`, h.addr, h.path("worker")) + strings.Join(more, ""))
	h.start()
	return h
}

// found makes the directory of a house, with the command and the servers in
// it, and reserves a port that the kernel gives to no client.
func found(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), addr: freeAddress(t)}
	h.marker = "GUARD_TEST_MARKER=" + h.dir
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lastcall", "worker", "brisk", "foreign", "single", "server", "herald", "strict"} { // the names make the test binary what they say
		if err := os.Symlink(self, h.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	h.temp = temporary(t)
	t.Cleanup(func() {
		if left := h.left(); len(left) == 0 && len(h.notifyDirs()) > 0 {
			t.Errorf("nobody is left, but %v", h.notifyDirs())
		}
		if h.cmd != nil {
			_ = h.cmd.Process.Kill()
		}
		for _, pid := range h.left() {
			_ = unix.Kill(pid, syscall.SIGKILL)
		}
		if h.cmd != nil {
			_ = h.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("log:\n%s\njournal:\n%s", h.read("log"), h.read("journal"))
		}
	})
	return h
}

// temporary makes a directory for temporary files, of all users.
func temporary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "house")
	if err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o777|os.ModeSticky)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1))
}

func (h *house) configure(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path("lastcall.toml"), []byte(text), 0o666); err != nil {
		h.t.Fatal(err)
	}
}

// start starts the supervisor, with a log of its own.
func (h *house) start(flags ...string) {
	h.t.Helper()
	h.startAs(h.command(append([]string{"run"}, flags...)...))
}

// startAs starts it by a command that becomes it.
func (h *house) startAs(run *exec.Cmd) {
	h.t.Helper()
	log, err := os.Create(h.path("log"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	h.cmd = run
	h.cmd.Stdout, h.cmd.Stderr = cmp.Or(h.stdout, log), log
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) path(name string) string { return filepath.Join(h.dir, name) }

func (h *house) read(name string) string {
	b, _ := os.ReadFile(h.path(name))
	return string(b)
}

func (h *house) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.path("lastcall"), args...)
	cmd.Dir = h.dir
	// The race detector would hold every process for a second at its end.
	cmd.Env = append(append(os.Environ(), h.marker, "LASTCALL_SOCKET="+h.path("s"), "TMPDIR="+h.temp, "RUNTIME_DIRECTORY=", "GORACE=atexit_sleep_ms=0"), h.env...)
	return cmd
}

// post sends a request and returns when the worker is at work on it, which it is
// until finish.
func (h *house) post() (answer <-chan string) {
	h.t.Helper()
	came := make(chan string, 1)
	go func() {
		r, err := http.Post("http://"+h.addr, "text/plain", nil)
		if err != nil {
			came <- err.Error()
			return
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			b = append(b, err.Error()...)
		}
		came <- r.Status + " " + string(b)
	}()
	h.until("the request is in progress", func() bool { return strings.Contains(h.read("journal"), "begun\n") })
	return came
}

// finish lets whoever waits for it be done.
func (h *house) finish() {
	h.t.Helper()
	if err := os.WriteFile(h.path("go"), nil, 0o666); err != nil {
		h.t.Fatal(err)
	}
}

// whole wants the answer to a request that was let finish.
func (h *house) whole(answer <-chan string) {
	h.t.Helper()
	if got, want := <-answer, "200 OK done\n"; got != want {
		h.t.Errorf("the answer is %q, want %q", got, want)
	}
}

func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			h.t.Fatalf("not within a minute: %s; left %v", what, h.left())
		}
	}
}

func (h *house) logged(what string) {
	h.t.Helper()
	h.until("it logs "+what, func() bool { return strings.Contains(h.read("log"), what) })
}

// left returns the processes that carry the marker and are alive.
func (h *house) left() []int {
	entries, _ := os.ReadDir("/proc")
	var out []int
	for _, e := range entries {
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ") // empty of the dead
		if pid, err := strconv.Atoi(e.Name()); err == nil && slices.ContainsFunc(bytes.Split(env, []byte{0}), func(kv []byte) bool { return string(kv) == h.marker }) {
			out = append(out, pid)
		}
	}
	return out
}

// free wants the port back at once.
func (h *house) free() {
	h.t.Helper()
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Errorf("the port is not free: %v", err)
		return
	}
	l.Close()
}

func (h *house) status() (st control.Status) {
	h.t.Helper()
	cmd := h.command("status", "--json")
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &st)
	}
	if err != nil {
		h.t.Fatalf("status: %v\n%s", err, out)
	}
	return st
}

// A supervisor that is killed with a request in progress: the request is
// answered, the port is free, everybody ends, and the helper last.
func TestKillTheSupervisor(t *testing.T) {
	h := build(t)
	h.logged("msg=ready\n")
	// They may have been seen to accept before they have said what they are.
	h.until("both workers can say what they do", func() bool {
		for _, p := range h.status().Programs {
			if p.Name == "web" && slices.ContainsFunc(p.Workers, func(w control.Worker) bool { return w.Inflight < 0 }) {
				return false
			}
		}
		return true
	})
	answer := h.post()
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.until("nobody listens", func() bool {
		c, err := net.Dial("tcp", h.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	h.free()
	select {
	case a := <-answer:
		t.Fatalf("answered too early: %s", a)
	default:
	}
	h.finish()
	h.whole(answer)
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
	if got, want := h.read("journal"), "up\nbegun\nanswered\ndown\n"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
	for _, worker := range []string{"web.0", "web.1"} {
		if want := `msg="asked to drain" worker=` + worker; !strings.Contains(h.read("log"), want) {
			t.Errorf("it does not log %s", want)
		}
	}
}

// A supervisor that is killed while it stops: who has been asked is not asked
// again, and has no more time than he was given.
func TestKillWhileItStops(t *testing.T) {
	h := build(t, `
[program.deaf]
command = ["sh", "-c", "trap 'echo asked >>journal' TERM; echo deaf >>journal; while :; do sleep 0.1; done"]
min_uptime = "10ms"
depends_on = ["helper"]
drain_timeout = "1s"
`)
	h.logged("msg=ready\n")
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.until("it is asked", func() bool { return strings.Contains(h.read("journal"), "asked") })
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
	if j := h.read("journal"); strings.Count(j, "asked") != 1 || !strings.HasSuffix(j, "down\n") {
		t.Errorf("journal %q", j)
	}
	if want := `msg="killed: did not end in time" worker=deaf.0`; !strings.Contains(h.read("log"), want) {
		t.Errorf("it does not log %s", want)
	}
}

// A guard that is killed is replaced; then the supervisor may be killed too.
func TestKillTheGuard(t *testing.T) {
	h := build(t)
	h.logged("msg=ready\n")
	first := h.status().Guard
	if first == 0 {
		t.Fatal("there is no guard")
	}
	if err := unix.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.until("there is another guard", func() bool { g := h.status().Guard; return g != 0 && g != first })
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
	if got, want := h.read("journal"), "up\ndown\n"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
}

// With both of them killed at once, workers with a channel still drain.
func TestKillBoth(t *testing.T) {
	h := build(t)
	h.logged("msg=ready\n")
	st := h.status()
	for _, pid := range []int{st.Guard, st.PID} {
		if err := unix.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	h.until("the workers with a channel have ended", func() bool {
		for _, p := range st.Programs {
			for _, w := range p.Workers {
				if p.Name == "web" && slices.Contains(h.left(), w.PID) {
					return false
				}
			}
		}
		return true
	})
	h.free()
}

// An orderly stop leaves no guard, and a guard leaves an orderly stop alone.
func TestStopLeavesNoGuard(t *testing.T) {
	h := build(t)
	h.logged("msg=ready\n")
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait()
	if left := h.left(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if log := h.read("log"); strings.Contains(log, "guard") {
		t.Error("the guard has something to say")
	}
	if got, want := h.read("journal"), "up\ndown\n"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
}

// At whatever moment of a start, a roll or a stop the supervisor is killed:
// nothing is left.
func TestKillAtAnyMoment(t *testing.T) {
	const rounds = 20
	phases := map[string]func(h *house){
		"start": func(*house) {},
		"roll": func(h *house) {
			h.logged("msg=ready\n")
			if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		},
		"stop": func(h *house) {
			h.logged("msg=ready\n")
			if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, begin := range phases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range rounds {
				h := build(t)
				begin(h)
				moment := time.Duration(rand.IntN(300_000)) * time.Microsecond
				<-time.After(moment)
				_ = h.cmd.Process.Kill()
				h.until("nothing is left, killed after "+moment.String(), func() bool { return len(h.left()) == 0 })
				_ = h.cmd.Wait()
				j := h.read("journal")
				if strings.Contains(j, "up\n") && !strings.HasSuffix(j, "down\n") {
					t.Errorf("killed after %v: journal %q", moment, j)
				}
			}
		})
	}
}
