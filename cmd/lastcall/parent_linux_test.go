package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An ear is a parent's notify socket: what it is told, and the descriptors it is
// given, in order.
type ear struct {
	h    *house
	path string

	mu    sync.Mutex
	heard []string
	store map[string][]int
}

// listens gives a house a parent that hears it.
func listens(h *house, env ...string) *ear {
	h.t.Helper()
	e := &ear{h: h, path: h.path("notify"), store: make(map[string][]int)}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: e.path})
	if err != nil {
		h.t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { e.read(c) })
	h.t.Cleanup(func() {
		c.Close()
		reading.Wait()
		e.forget()
		if h.t.Failed() {
			h.t.Logf("heard:\n%s", strings.Join(e.all(), "\n"))
		}
	})
	h.env = append(append(h.env, "NOTIFY_SOCKET="+e.path), env...)
	return e
}

func (e *ear) read(c *net.UnixConn) {
	text, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*8))
	for {
		n, oobn, _, _, err := c.ReadMsgUnix(text, rights)
		if err != nil {
			return // closed
		}
		e.take(string(text[:n]), rights[:oobn])
	}
}

// take does with descriptors what systemd does.
func (e *ear) take(text string, rights []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, text)
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		panic(err)
	}
	_, name, _ := strings.Cut(text, "FDNAME=")
	name, _, _ = strings.Cut(name, "\n")
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			panic(err)
		}
		e.store[name] = append(e.store[name], fds...)
	}
	if strings.Contains(text, "FDSTOREREMOVE=1") {
		for _, fd := range e.store[name] {
			unix.Close(fd)
		}
		delete(e.store, name)
	}
}

// forget drops the store, as systemd does when a service is no more.
func (e *ear) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, fds := range e.store {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	clear(e.store)
}

func (e *ear) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

// hears waits for a message that has a text in it, beyond the first n, and
// returns it and how many there were then.
func (e *ear) hears(n int, text string) (string, int) {
	e.h.t.Helper()
	var found string
	e.h.until("the parent hears "+text, func() bool {
		for i, m := range e.all() {
			if i >= n && strings.Contains(m, text) {
				found, n = m, i+1
				return true
			}
		}
		return false
	})
	return found, n
}

func number(t *testing.T, message, key string) time.Duration {
	t.Helper()
	_, value, _ := strings.Cut(message, key+"=")
	value, _, _ = strings.Cut(value, "\n")
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		t.Fatalf("%s in %q: %v", key, message, err)
	}
	return time.Duration(n) * time.Microsecond
}

func monotonic(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// toldFile is a helper that is up when a file is there, and two workers.
const toldFile = `
[listen]
web = %q
[program.helper]
command = ["sh", "-c", "trap 'kill $!; exit' TERM; sleep 600 & wait"]
ready = { file = "up" }
[program.web]
command = [%q]
workers = 2
listen = ["web"]
depends_on = ["helper"]
env = { FRAGILE = "yes" }
`

func touch(h *house, name, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), []byte(text), 0o666); err != nil {
		h.t.Fatal(err)
	}
}

// A parent hears when all is up, of reloads and how they ended, and of the end;
// an upgrade loses nothing of that.
func TestParentHears(t *testing.T) {
	h := found(t)
	h.configure(fmt.Sprintf(toldFile, h.addr, h.path("brisk")))
	e := listens(h, "WATCHDOG_USEC=600000")
	h.start()
	e.hears(0, "STATUS=starting: 0 of 3 workers ready")
	e.hears(0, "EXTEND_TIMEOUT_USEC=")
	if m := e.all(); slices.ContainsFunc(m, func(m string) bool { return strings.Contains(m, "READY=1") }) {
		t.Fatalf("said to be ready while the helper is not: %q", m)
	}
	touch(h, "up", "")
	_, n := e.hears(0, "READY=1\nSTATUS=3 workers ready")

	before := monotonic(t)
	h.send(syscall.SIGHUP)
	m, n := e.hears(n, "RELOADING=1\n")
	if began := number(t, m, "MONOTONIC_USEC"); began < before.Truncate(time.Microsecond) || began > monotonic(t) {
		t.Errorf("the reload began at %v, asked for at %v", began, before)
	}
	_, n = e.hears(n, "READY=1\nSTATUS=3 workers ready")
	for _, p := range h.status().Programs {
		if p.Name == "web" && (p.Generation != 2 || len(p.Workers) != 2) {
			t.Errorf("said to be reloaded: %+v", p)
		}
	}

	touch(h, "fragile", "yes")
	h.send(syscall.SIGHUP)
	_, n = e.hears(n, "RELOADING=1\n")
	if m, n = e.hears(n, "READY=1"); !strings.Contains(m, "STATUS=3 workers ready; the last reload: web") {
		t.Errorf("a roll that failed: %q", m)
	}
	h.configure("nonsense")
	h.send(syscall.SIGHUP)
	_, n = e.hears(n, "RELOADING=1\n")
	if m, n = e.hears(n, "READY=1"); !strings.Contains(m, "the last reload: nothing is changed: lastcall.toml:1") {
		t.Errorf("a configuration that is wrong: %q", m)
	}

	if out, err := h.command("upgrade").CombinedOutput(); err != nil {
		t.Fatalf("upgrade: %v: %s", err, out)
	}
	_, n = e.hears(n, "READY=1")
	for range 3 {
		_, n = e.hears(n, "WATCHDOG=1")
	}
	for _, pid := range h.left() {
		if env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); pid != h.cmd.Process.Pid && strings.Contains(string(env), e.path) {
			t.Errorf("process %d has the parent's notify socket", pid)
		}
	}
	h.stops(0)
	_, n = e.hears(n, "STOPPING=1")
	e.hears(n, "STATUS=stopped")
}

// While a drain lasts the parent is asked for the time it may take, and told
// what it waits for.
func TestParentHearsOfDrains(t *testing.T) {
	h := found(t)
	h.configure(fmt.Sprintf("[program.web]\ncommand = [%q]\nlisten = [%q]\ndrain_timeout = \"90s\"\n", h.path("worker"), h.addr))
	e := listens(h)
	h.start()
	_, n := e.hears(0, "READY=1\nSTATUS=1 worker ready")
	answer := make(chan error, 1)
	go func() {
		r, err := http.Post("http://"+h.addr+"/work/a", "text/plain", nil)
		if err == nil {
			r.Body.Close()
		}
		answer <- err
	}()
	h.until("the request is in progress", func() bool { return strings.Contains(h.read("journal"), "begun\n") })
	h.send(syscall.SIGTERM)
	_, n = e.hears(n, "STOPPING=1\nSTATUS=stopping: 1 worker left")
	h.until("it asks for as much time as the drain may take", func() bool {
		for _, m := range e.all()[n:] {
			if strings.HasPrefix(m, "EXTEND_TIMEOUT_USEC=") && number(t, m, "EXTEND_TIMEOUT_USEC") >= 90*time.Second {
				return true
			}
		}
		return false
	})
	m, n := e.hears(n, "STATUS=draining: web.0 POST /work/a, 1m2")
	if !strings.HasSuffix(m, "s left") {
		t.Errorf("status %q", m)
	}
	e.hears(n, "EXTEND_TIMEOUT_USEC=") // again and again
	touch(h, "go", "")
	if err := <-answer; err != nil {
		t.Error(err)
	}
	h.ends(0)
	e.hears(n, "STATUS=stopped")
}

// What makes no sense in the environment, or on the command line, is said in one
// line, and nothing is started.
func TestParentThatMakesNoSense(t *testing.T) {
	h := found(t)
	for _, test := range []struct {
		env, flag, want string
	}{
		{"WATCHDOG_USEC=soon", "", `read WATCHDOG_USEC: "soon" is not a number of microseconds`},
		{"FDSTORE=many", "", `read FDSTORE: "many" is not a number of descriptors`},
		{"", "--ready-fd=99", "the parent does not pass descriptor 99"},
		{"", "--ready-fd=1", "descriptors below 3"},
		{"", "--ready-fd=4", "the parent does not pass descriptor 4"}, // Go has something there itself
	} {
		cmd := h.command("run", "--listen", h.addr)
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET=/nowhere", test.env)
		if test.flag != "" {
			cmd.Args = append(cmd.Args, test.flag)
		}
		cmd.Args = append(cmd.Args, "--", h.path("brisk"))
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), test.want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s %s: %v: %s", test.env, test.flag, err, out)
		}
	}
}
