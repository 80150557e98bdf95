package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/testport"
	"golang.org/x/sys/unix"
)

// A row is a house whose workers have a port each.
type row struct {
	*house
	base int
}

// freePorts returns the first of n ports that are the test's until it ends.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	first, release, err := testport.Hold(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return first
}

// aRow makes one, with room for more ports, and does not start it.
func aRow(t *testing.T, server string, workers int, more ...string) *row {
	t.Helper()
	h := &row{found(t), freePorts(t, 3*workers+2)}
	h.lined(server, workers, more...)
	return h
}

func (h *row) lined(server string, workers int, more ...string) {
	h.t.Helper()
	h.configure(fmt.Sprintf("[program.web]\ncommand = [%q]\nworkers = %d\nport_base = %d\nlisten = [\"127.0.0.1:{port}\"]\n",
		h.path(server), workers, h.base) + strings.Join(more, ""))
}

func (h *row) begin() *row {
	h.t.Helper()
	h.start()
	h.logged("msg=ready\n")
	return h
}

func (h *row) at(slot int) string { return fmt.Sprintf("127.0.0.1:%d", h.base+slot) }

// refused tells whether nobody listens at a slot's port, and fails the test if
// somebody does something else than that, or serve.
func (h *row) refused(slot int) bool {
	h.t.Helper()
	_, err := askPid(h.at(slot))
	if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		h.t.Fatalf("at %s: %v", h.at(slot), err)
	}
	return err != nil
}

// storms are clients at each port, with one request per connection.
func (h *row) storms(slots, clients int) []*queue {
	var out []*queue
	for i := range slots {
		h.addr = h.at(i)
		out = append(out, h.queue(clients))
	}
	return out
}

// Each worker is found at its own port, knows it, and is shown with it; no other
// answers there, also after rolls, ups and downs.
func TestEachWorkerHasItsPort(t *testing.T) {
	for _, server := range []string{"brisk", "foreign"} {
		t.Run(server, func(t *testing.T) {
			h := aRow(t, server, 3, "env = { MINE = \"{slot} is at {port}\" }\n").begin()
			check := func(n int) {
				t.Helper()
				workers := h.workers()
				if len(workers) != n {
					t.Fatalf("%d workers, want %d", len(workers), n)
				}
				for i, w := range workers {
					if pid, err := askPid(h.at(i)); err != nil || pid != fmt.Sprint(w.PID) {
						t.Errorf("at %s answers %s, %v; want %d", h.at(i), pid, err, w.PID)
					}
					if len(w.Addresses) != 1 || w.Addresses[0] != h.at(i) {
						t.Errorf("status of %s: %v, want %s", w.Worker, w.Addresses, h.at(i))
					}
					env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", w.PID))
					for _, want := range []string{
						fmt.Sprintf("LASTCALL_PORT=%d", h.base+i), fmt.Sprintf("MINE=%d is at %d", i, h.base+i),
						"LASTCALL_LISTENERS=web=tcp:" + h.at(i), "LISTEN_FDS=1",
					} {
						if !strings.Contains("\x00"+string(env), "\x00"+want+"\x00") {
							t.Errorf("the environment of %s has no %s: %v", w.Worker, want, err)
						}
					}
				}
				if !h.refused(n) {
					t.Errorf("somebody is at %s", h.at(n))
				}
			}
			check(3)
			h.do("restart")
			check(3)
			h.do("upgrade")
			h.do("scale", "web=5")
			check(5)
			h.do("scale", "web=2")
			check(2)
			h.do("restart", "web.1")
			check(2)
			out, err := h.command("status").Output()
			for _, want := range []string{"web: " + h.at(0) + ", open, a port for each worker: 2 sockets\n", "WORKER  ADDRESS  ", "web.1   " + h.at(1) + "  ready"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("status does not say %q: %v\n%s", want, err, out)
				}
			}
			h.stops(0)
		})
	}
}

// A crash keeps the port open: who comes while nobody is there is served by the
// successor, and nobody is refused.
func TestCrashKeepsThePort(t *testing.T) {
	h := aRow(t, "foreign", 2).begin()
	for range 5 {
		before := h.workers()[1]
		h.freeze(before.PID)
		var all sync.WaitGroup
		for range 5 { // all are in the queue when it dies
			c, err := net.Dial("tcp", h.at(1))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") || strings.HasSuffix(string(b), fmt.Sprintf("\n%d\n", before.PID)) {
					t.Errorf("got %q, %v", b, err)
				}
			})
		}
		if err := unix.Kill(before.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _, err := askPid(h.at(1)); err != nil {
			t.Errorf("while it is started anew: %v", err)
		}
		all.Wait()
		h.do("start", "web.1")
	}
}

// A roll of Go workers moves each client to the successor behind the same port;
// nobody is closed, and nobody comes to another port's worker.
func TestRollMovesBehindThePort(t *testing.T) {
	h := aRow(t, "brisk", 3).begin()
	var visitors []*visitor
	for i := range 30 {
		h.addr = h.at(i % 3)
		visitors = append(visitors, h.visit())
	}
	for round := range 4 {
		for i, v := range visitors {
			pid, closes, err := v.ask()
			if err != nil || closes {
				t.Fatalf("roll %d: client %d: %v, asked to close: %v", round, i, err, closes)
			}
			if want := fmt.Sprint(h.workers()[i%3].PID); pid != want {
				t.Fatalf("roll %d: client %d of %s is served by %s, want %s", round, i, h.at(i%3), pid, want)
			}
		}
		if round == 2 {
			h.do("upgrade")
		}
		h.do("restart")
	}
}

// A roll, ups and downs, and a reload of everything lose nobody at the ports
// that stay, with workers that know nothing of lastcall too.
func TestRollWithPorts(t *testing.T) {
	for _, server := range []string{"brisk", "foreign"} {
		t.Run(server, func(t *testing.T) {
			h := aRow(t, server, 3).begin()
			queues := h.storms(3, 4)
			for range 5 {
				h.do("restart")
			}
			h.lined(server, 5, "env = { NEW = \"1\" }\n")
			h.do("reload")
			h.do("upgrade")
			h.do("scale", "web=3")
			for _, q := range queues {
				q.more(h.house, 20)
				q.lost(h.house, 0)
			}
			if !h.refused(3) || !h.refused(4) {
				t.Error("ports of workers that are gone are open")
			}
			if log := h.read("log"); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
				t.Error("there is something to complain about")
			}
		})
	}
}

// A worker that is drained is refused to newcomers at once, while it still works
// on what it has, and is found again when it is started.
func TestDrainOfOnePort(t *testing.T) {
	for _, server := range []string{"worker", "foreign"} {
		t.Run(server, func(t *testing.T) {
			h := aRow(t, server, 2, "drain_timeout = \"50s\"\n").begin()
			c, err := net.Dial("tcp", h.at(1))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if server == "worker" { // the other has accepted it, and waits
				fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
				h.until("the request has begun", func() bool { return strings.Contains(h.read("journal"), "begun") })
			}
			var drain sync.WaitGroup
			drain.Go(func() { h.do("drain", "web.1") })
			h.until("it drains", func() bool { return h.worker("web.1").State == "draining" })
			h.until("newcomers are refused", func() bool { return h.refusedAtOnce(1) })
			h.do("status")
			if w := h.worker("web.1"); w.State != "draining" {
				t.Fatalf("it is %s: it had something to do still", w.State)
			}
			if err := os.WriteFile(h.path("go"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
			if server == "foreign" {
				fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
			}
			if b, err := io.ReadAll(c); err != nil || !strings.Contains(string(b), " 200 OK") {
				t.Errorf("what it had: %q, %v", b, err)
			}
			drain.Wait()
			h.do("start", "web.1")
			if h.refused(1) {
				t.Error("it is started, and nobody is at its port")
			}
		})
	}
}

func (h *row) refusedAtOnce(slot int) bool {
	h.t.Helper()
	c, err := net.DialTimeout("tcp", h.at(slot), 20*time.Second)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Drained and started again, time after time, and who dials is served or
// refused, never reset nor left waiting.
func TestDrainAndStartOfPorts(t *testing.T) {
	for _, server := range []string{"brisk", "foreign"} {
		t.Run(server, func(t *testing.T) {
			h := aRow(t, server, 2).begin()
			queues := h.storms(2, 4)
			for i := range 8 {
				w := fmt.Sprintf("web.%d", i%2)
				h.do("drain", w)
				h.do("start", w)
			}
			for i, q := range queues {
				q.end()
				if err := q.first.Load(); err != nil && !errors.Is(*err, syscall.ECONNREFUSED) {
					t.Errorf("at %s: %v", h.at(i), *err)
				}
				if q.served.Load() == 0 {
					t.Errorf("nobody was served at %s", h.at(i))
				}
			}
		})
	}
}

// What cannot be bound is said before anything happens.
func TestPortsInUse(t *testing.T) {
	h := aRow(t, "brisk", 3)
	l, err := net.Listen("tcp", h.at(2))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := fmt.Sprintf("lastcall.toml:5: listen for web: listen on %s: bind: address already in use", h.at(2))
	h.start()
	_ = h.cmd.Wait()
	if code := h.cmd.ProcessState.ExitCode(); code != 3 || !strings.Contains(h.read("log"), want) {
		t.Errorf("exit code %d, want 3 and %q", code, want)
	}
	h.lined("brisk", 2)
	h.begin()
	for _, args := range [][]string{{"scale", "web=3"}, {"reload"}} {
		if args[0] == "reload" {
			h.lined("brisk", 4)
		}
		out, err := h.command(args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), fmt.Sprintf("listen on %s: bind: address already in use", h.at(2))) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if n := len(h.workers()); n != 2 {
		t.Errorf("%d workers", n)
	}
	h.until("nothing is left bound", func() bool { return h.refusedAtOnce(3) })
	l.Close()
	h.do("scale", "web=3")
	if h.refused(2) {
		t.Error("nobody is there")
	}
}

// Workers that bind their ports themselves: one is replaced after the other, and
// there is always one that serves.
func TestWorkersBindTheirPorts(t *testing.T) {
	h := aRow(t, "foreign", 2)
	h.configure(strings.Replace(h.read("lastcall.toml"), "listen = [\"127.0.0.1:{port}\"]\n", "ready = { tcp = \"127.0.0.1:{port}\" }\n", 1))
	h.begin()
	done := make(chan struct{})
	var client sync.WaitGroup
	client.Go(func() { // as a proxy would: when one refuses, the other
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			_, err := askPid(h.at(n % 2))
			if err != nil {
				_, err = askPid(h.at((n + 1) % 2))
			}
			if err != nil {
				t.Errorf("neither answers: %v", err)
				return
			}
		}
	})
	for range 3 {
		before := h.workers()
		h.do("restart") // all that serve
		for i, w := range h.workers() {
			if pid, err := askPid(h.at(i)); err != nil || pid != fmt.Sprint(w.PID) || w.PID == before[i].PID {
				t.Errorf("at %s answers %s, %v; it was %d, is %d", h.at(i), pid, err, before[i].PID, w.PID)
			}
			if len(w.Addresses) != 1 || w.Addresses[0] != fmt.Sprintf(":%d", h.base+i) {
				t.Errorf("status of %s: %v", w.Worker, w.Addresses)
			}
		}
	}
	close(done)
	client.Wait()
}

// A supervisor that is killed leaves no port behind.
func TestKillTheSupervisorOfPorts(t *testing.T) {
	h := aRow(t, "foreign", 3).begin()
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
	for i := range 3 {
		h.addr = h.at(i)
		h.free()
	}
}
