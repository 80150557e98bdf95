package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/control"
)

// slotted starts the command with servers that answer at once, in slots.
func slotted(t *testing.T, server string, workers int, more ...string) *house {
	t.Helper()
	h := found(t)
	h.slotted(server, workers, more...)
	h.start()
	h.logged("msg=ready\n")
	return h
}

func (h *house) slotted(server string, workers int, more ...string) {
	h.t.Helper()
	h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nworkers = %d\nlisten = [\"web\"]\nbalance = \"slots\"\n",
		h.addr, h.path(server), workers) + strings.Join(more, ""))
}

// do runs a verb to its end.
func (h *house) do(args ...string) {
	h.t.Helper()
	if out, err := h.command(args...).CombinedOutput(); err != nil {
		h.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

func (h *house) workers() (out []control.Worker) {
	h.t.Helper()
	for _, p := range h.status().Programs {
		out = append(out, p.Workers...)
	}
	return out
}

// kept wants every slot to have had one socket all the time.
func (h *house) kept() {
	h.t.Helper()
	if strings.Contains(h.read("log"), "newcomers steered away") {
		h.t.Error("a slot has lost its socket")
	}
}

// A queue is clients that make a connection for each request, and nothing but
// that.
type queue struct {
	served  atomic.Int64
	failed  atomic.Int64
	longest atomic.Int64 // of the requests, in nanoseconds
	first   atomic.Pointer[error]
	reset   atomic.Pointer[error] // the first of those who were not refused
	by      sync.Map              // how many each pid has served
	end     func()
}

func (h *house) queue(clients int) *queue {
	ctx, cancel := context.WithCancel(h.t.Context())
	q, addr := &queue{}, h.addr // which may be another's later
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for ctx.Err() == nil {
				q.once(addr)
			}
		})
	}
	q.end = sync.OnceFunc(func() { cancel(); all.Wait() })
	h.t.Cleanup(q.end)
	return q
}

func (q *queue) once(addr string) {
	began := time.Now()
	pid, err := askPid(addr)
	if err != nil {
		q.failed.Add(1)
		q.first.CompareAndSwap(nil, &err)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			q.reset.CompareAndSwap(nil, &err)
		}
		return
	}
	took := int64(time.Since(began))
	for was := q.longest.Load(); took > was && !q.longest.CompareAndSwap(was, took); was = q.longest.Load() {
	}
	n, _ := q.by.LoadOrStore(pid, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	q.served.Add(1)
}

// askPid makes one request on a connection of its own.
func askPid(addr string) (pid string, err error) {
	c, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	head, body, ok := strings.Cut(string(b), "\r\n\r\n")
	if !ok || !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		return "", fmt.Errorf("answer %q", b)
	}
	return strings.TrimSpace(body), nil
}

// more waits until n more have been served.
func (q *queue) more(h *house, n int64) {
	h.t.Helper()
	enough := q.served.Load() + n
	h.until(fmt.Sprintf("%d more are served", n), func() bool { return q.served.Load() >= enough || q.failed.Load() > 0 })
}

// lost fails the test if more than most requests have no answer.
func (q *queue) lost(h *house, most int64) {
	h.t.Helper()
	q.end()
	h.t.Logf("%d served, %d lost, the longest %v", q.served.Load(), q.failed.Load(), time.Duration(q.longest.Load()).Round(time.Millisecond))
	if n := q.failed.Load(); n > most {
		h.t.Errorf("%d of %d requests are lost, at most %d may be; the first: %v", n, n+q.served.Load(), most, *q.first.Load())
	}
}

// Scaling down and up under load loses nobody: not who was in the queue of the
// socket that goes, nor who was on the way to it, nor who comes while the last
// socket moves into its place.
func TestScaleInSlotsLosesNobody(t *testing.T) {
	for _, server := range []string{"brisk", "foreign"} {
		t.Run(server, func(t *testing.T) {
			const cycles = 26
			h := slotted(t, server, 4)
			q := h.queue(16)
			for range cycles {
				h.do("scale", "web=2")
				h.do("scale", "web=4")
			}
			q.more(h, 100)
			q.lost(h, 0)
			h.until("there are four sockets", func() bool { return h.status().Listeners[0].Sockets == 4 })
		})
	}
}

// A worker that is slow to accept is asked to end when it has accepted all who
// came to it.
func TestScaleWaitsForTheQueue(t *testing.T) {
	h := slotted(t, "foreign", 2, "env = { PACE = \"20ms\" }\n")
	for range 5 {
		q := &queue{end: func() {}}
		var all sync.WaitGroup
		for range 40 { // of which about half come to the one that goes
			all.Go(func() { q.once(h.addr) })
		}
		h.until("they come", func() bool { return q.served.Load() > 0 })
		h.do("upgrade")
		h.do("scale", "web=1")
		all.Wait()
		q.lost(h, 0)
		h.do("scale", "web=2")
	}
}

// A worker in the middle that is stopped, and started: its socket goes, and the
// last one moves into its place, where newcomers find it.
func TestStopAndStartOneSlot(t *testing.T) {
	h := slotted(t, "brisk", 3)
	q := h.queue(8)
	for i := range 12 {
		w := fmt.Sprintf("web.%d", i%3)
		h.do("stop", w)
		q.more(h, 20)
		h.do("start", w)
	}
	q.lost(h, 0)
	all := h.queue(8)
	h.until("everybody serves", func() bool {
		return !slices.ContainsFunc(h.workers(), func(w control.Worker) bool { _, ok := all.by.Load(fmt.Sprint(w.PID)); return !ok })
	})
	all.lost(h, 0)
}

// A roll: old and new life of a slot share its socket.
func TestRollInSlots(t *testing.T) {
	h := slotted(t, "foreign", 4)
	q := h.queue(16)
	for range 10 {
		h.do("restart", "web")
	}
	q.lost(h, 0)
	if n := h.status().Listeners[0].Sockets; n != 4 {
		t.Errorf("%d sockets after ten rolls", n)
	}
	h.kept()
}

// A worker that is killed loses what it was serving, at most one request for
// each client; its queue is its successor's.
func TestKillInSlots(t *testing.T) {
	h := slotted(t, "brisk", 3)
	const clients, rounds = 12, 8
	q := h.queue(clients)
	for i := range rounds {
		before := h.workers()[i%3]
		if err := unix.Kill(before.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		h.until("it has a successor", func() bool { w := h.workers()[i%3]; return w.State == "ready" && w.PID != before.PID })
		h.do("start", before.Worker) // it does not count towards the restart budget
	}
	q.lost(h, clients*rounds/2)
}

// freeze stops a process, and returns when it stands still, all of it.
func (h *house) freeze(pid int) {
	h.t.Helper()
	if err := unix.Kill(pid, syscall.SIGSTOP); err != nil {
		h.t.Fatal(err)
	}
	h.until("it stands still, all of it", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return len(threads) > 0 && !slices.ContainsFunc(threads, func(path string) bool {
			stat, err := os.ReadFile(path)
			return err == nil && !strings.Contains(string(stat), ") T ")
		})
	})
}

// Who waits in the queue of a worker that is killed while it does not accept is
// served by the next.
func TestQueueOfTheDead(t *testing.T) {
	h := slotted(t, "brisk", 2)
	victim := h.workers()[1]
	h.freeze(victim.PID)
	q := &queue{}
	var all sync.WaitGroup
	for range 40 { // of which about half come to it
		all.Go(func() { q.once(h.addr) })
	}
	h.until("somebody waits for it", func() bool { return h.status().Listeners[0].Waiting && q.served.Load() > 0 })
	if err := unix.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	q.end = func() {}
	q.lost(h, 0)
	if _, ok := q.by.Load(fmt.Sprint(victim.PID)); ok {
		t.Error("the dead have answered")
	}
	if n := q.served.Load(); n != 40 {
		t.Errorf("%d of 40 served", n)
	}
}

// A slot that crashes again and again, and gives up: the others serve. Who came
// to it meanwhile would be reset when its socket is closed.
func TestCrashLoopInSlots(t *testing.T) {
	h := slotted(t, "brisk", 3, "max_restarts = 4\nenv = { FRAGILE = \"{slot}\" }\n")
	if err := os.WriteFile(h.path("fragile"), []byte("1"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(h.workers()[1].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.until("it waits to be started again", func() bool { return h.workers()[1].State == "waiting" })
	q := h.queue(8)
	h.logged("gave up restarting")
	h.until("its socket is closed", func() bool { return h.status().Listeners[0].Sockets == 2 })
	q.more(h, 200)
	q.lost(h, 0)
	if err := os.Remove(h.path("fragile")); err != nil {
		t.Fatal(err)
	}
	h.do("start", "web.1")
	again := h.queue(8)
	h.until("it serves again", func() bool { _, ok := again.by.Load(fmt.Sprint(h.workers()[1].PID)); return ok })
	again.lost(h, 0)
}

// The configuration goes from one balance to the other, and the supervisor is
// upgraded, under load.
func TestChangeOfBalance(t *testing.T) {
	h := slotted(t, "brisk", 3)
	q := h.queue(12)
	shared := func() {
		h.configure(strings.Replace(h.read("lastcall.toml"), `"slots"`, `"shared"`, 1))
	}
	for range 3 {
		shared()
		h.do("reload")
		h.until("there is one socket", func() bool { return h.status().Listeners[0].Sockets == 1 })
		h.slotted("brisk", 3)
		h.do("reload")
		h.until("there are three", func() bool { return h.status().Listeners[0].Sockets == 3 })
		h.do("upgrade")
		before := strings.Count(h.read("log"), "newcomers steered away")
		h.do("restart", "web")
		if n := strings.Count(h.read("log"), "newcomers steered away"); n != before {
			t.Errorf("%d slots have lost their sockets by the upgrade", n-before)
		}
		h.do("scale", "web=2")
		h.do("scale", "web=3")
	}
	q.lost(h, 0)
	if n := h.status().Upgrades; n != 3 {
		t.Errorf("%d upgrades", n)
	}
}

// A second supervisor cannot slip in beside the first, as SO_REUSEPORT would let
// it.
func TestSlotsAddressInUse(t *testing.T) {
	h := slotted(t, "brisk", 2)
	other := found(t)
	other.addr = h.addr
	other.slotted("brisk", 2)
	other.start()
	other.until("it is refused, or not", func() bool {
		return strings.Contains(other.read("log"), "address already in use") || strings.Contains(other.read("log"), "msg=ready\n")
	})
	if strings.Contains(other.read("log"), "msg=ready\n") {
		t.Fatal("two supervisors have one address")
	}
	_ = other.cmd.Wait()
	if code := other.cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d", code)
	}
}

// The final stop: nobody who got a connection is reset, and the port is free.
func TestStopInSlots(t *testing.T) {
	for range 5 {
		h := slotted(t, "brisk", 3)
		q := h.queue(16)
		q.more(h, 100)
		if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := h.cmd.Wait(); err != nil {
			t.Error(err)
		}
		q.end()
		if err := q.reset.Load(); err != nil {
			t.Errorf("a client was connected and then got: %v", *err)
		}
		h.free()
	}
}

// With all workers stopped, newcomers wait, and the workers that are started
// serve them.
func TestStopAllInSlots(t *testing.T) {
	h := slotted(t, "brisk", 3)
	h.do("stop", "web")
	q := &queue{end: func() {}}
	var all sync.WaitGroup
	for range 24 {
		all.Go(func() { q.once(h.addr) })
	}
	h.until("somebody waits", func() bool { return h.status().Listeners[0].Waiting })
	h.do("start", "web")
	all.Wait()
	q.lost(h, 0)
	h.kept()
}

// A supervisor that is killed leaves no socket.
func TestKillTheSupervisorOfSlots(t *testing.T) {
	h := slotted(t, "brisk", 3)
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
	h.free()
}
