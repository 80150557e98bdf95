package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
)

// upgradeBySignal replaces the executable, and returns when the other runs.
func (h *house) upgradeBySignal() {
	h.t.Helper()
	h.send(syscall.SIGUSR2)
	h.logged(`msg="supervisor upgraded"`)
}

// worker returns the newest life in a slot.
func (h *house) worker(name string) (w control.Worker) {
	h.t.Helper()
	for _, p := range h.status().Programs {
		for _, v := range p.Workers {
			if v.Worker == name {
				w = v
			}
		}
	}
	return w
}

// order wants what is logged in this order.
func (h *house) order(what ...string) {
	h.t.Helper()
	log, at := h.read("log"), -1
	for _, text := range what {
		i := strings.LastIndex(log, text)
		if i <= at {
			h.t.Errorf("the log has %q at %d, after what is at %d", text, i, at)
		}
		at = i
	}
}

// An upgrade in the middle of a roll: the roll goes on where it was.
func TestB18UpgradeInARoll(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.configure(fmt.Sprintf(`
[listen]
web = %q
[program.web]
command = [%q]
workers = 3
listen = ["web"]
min_uptime = "400ms"
`, h.addr, h.path("brisk")))
	h.start()
	h.logged("msg=ready\n")
	load := hold(h.addr, 1) // it is moved, or told to close: that it may have one answer fewer is no loss
	defer load.end()
	h.send(syscall.SIGHUP)
	h.logged("msg=started worker=web.0 life=4")
	h.upgradeBySignal()
	h.until("all of them are of the new generation", func() bool {
		st := h.status()
		return st.State == "running" && !slices.ContainsFunc(st.Programs[0].Workers, func(w control.Worker) bool { return w.Generation != 2 || w.State != "ready" })
	})
	h.order("msg=started worker=web.0 life=4", "supervisor upgraded", "msg=started worker=web.1", "msg=started worker=web.2")
	if n := strings.Count(h.read("log"), "msg=started"); n != 6 {
		t.Errorf("%d lives were started, want 6", n)
	}
	h.stops(0)
}

// An upgrade while workers drain, with a request in progress: it is answered,
// and the drain ends with it.
func TestB18UpgradeInADrain(t *testing.T) {
	t.Parallel()
	h := build(t)
	h.logged("msg=ready\n")
	answer := h.post()
	h.send(syscall.SIGWINCH)
	h.logged("msg=draining worker=web.1")
	h.upgradeBySignal()
	select {
	case got := <-answer:
		t.Errorf("answered with %q before the work was done", got)
	default:
	}
	h.finish()
	h.whole(answer)
	h.until("the workers are gone", func() bool { return h.worker("web.0").PID == 0 && h.worker("web.1").PID == 0 })
	if log := h.read("log"); strings.Contains(log, "level=WARN") {
		t.Error("it warns")
	}
	if out, err := h.command("start", "web").CombinedOutput(); err != nil {
		t.Errorf("start: %v: %s", err, out)
	}
	h.stops(0)
}

// An upgrade while a worker drains that hears nothing: it has the time that it
// was given, and is killed then.
func TestB18UpgradeKeepsTheDeadline(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.configure(fmt.Sprintf(`
[listen]
web = %q
[program.deaf]
command = ["python3", "-c", "import signal, select; signal.signal(signal.SIGTERM, signal.SIG_IGN)\ne = select.epoll()\ne.register(3)\nwhile True: e.poll()"]
listen = ["web"]
drain_timeout = "2s"
`, h.addr))
	h.start()
	h.logged("msg=ready\n")
	began := time.Now()
	h.send(syscall.SIGWINCH)
	h.logged("msg=draining worker=deaf.0")
	h.upgradeBySignal()
	if left := h.worker("deaf.0").Left; left <= 0 || left > 2 {
		t.Errorf("after the upgrade it has %v s left of 2", left)
	}
	h.logged("msg=gone worker=deaf.0")
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("killed after %v", took)
	}
	h.stops(0)
}

// An upgrade waits while an operator waits for an answer, which the other
// executable could not give.
func TestB18UpgradeWaitsForTheOperator(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.configure(`
[program.slow]
command = ["sh", "-c", "trap 'while test ! -e go; do sleep 0.01; done; exit' TERM; sleep 600 & wait"]
min_uptime = "10ms"
[program.other]
command = ["sleep", "600"]
min_uptime = "10ms"
`)
	h.start()
	h.logged("msg=ready\n")
	operator := h.command("drain", "slow")
	if err := operator.Start(); err != nil {
		t.Fatal(err)
	}
	h.logged("msg=draining worker=slow.0")
	h.send(syscall.SIGUSR2)
	h.logged("name=SIGUSR2")
	if n := h.status().Upgrades; n != 0 {
		t.Errorf("%d upgrades under a waiting operator", n)
	}
	h.finish()
	if err := operator.Wait(); err != nil {
		t.Errorf("drain: %v", err)
	}
	h.logged("supervisor upgraded")
	h.order("msg=gone worker=slow.0", "supervisor upgraded")
	h.stops(0)
}

// An upgrade while a slot waits to be tried again: it is, at its time.
func TestB18UpgradeInABackoff(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.configure(`
[program.job]
command = ["sh", "-c", "test ! -e crash || exit 9; sleep 600"]
min_uptime = "100ms"
`)
	h.start()
	h.logged("msg=ready\n")
	if err := os.WriteFile(h.path("crash"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(h.worker("job.0").PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.logged("crashes=6") // the next is seconds away
	h.upgradeBySignal()
	before := h.worker("job.0")
	if before.State != "waiting" || before.Restarts != 6 {
		t.Errorf("after the upgrade it is %+v", before)
	}
	if err := os.Remove(h.path("crash")); err != nil {
		t.Fatal(err)
	}
	h.until("it is ready again", func() bool { return h.worker("job.0").State == "ready" })
	if w := h.worker("job.0"); w.Restarts != 6 || w.Life != 7 {
		t.Errorf("at last it is %+v", w)
	}
	h.order("crashes=6", "supervisor upgraded", "msg=started worker=job.0 life=7")
	h.stops(0)
}

// An upgrade while a gate is asked: it is asked further, by commands that have
// no signal blocked. (A shell would unblock them.)
func TestB18UpgradeAtAGate(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.configure(fmt.Sprintf(`
[listen]
web = %q
[program.web]
command = [%q]
listen = ["web"]
gate = [
  { exec = ["grep", "SigBlk:.*0000000000000000", "/proc/self/status"] },
  { exec = ["test", "-e", "open"], every = "20ms" },
]
`, h.addr, h.path("brisk")))
	h.start()
	h.logged("msg=ready\n")
	h.send(syscall.SIGHUP)
	closed := "msg=gate worker=web.0 life=1"
	h.logged(closed)
	h.upgradeBySignal()
	h.until("it is asked again", func() bool { return strings.Count(h.read("log"), closed) == 2 })
	if n := len(h.status().Programs[0].Workers); n != 2 {
		t.Errorf("%d lives, want the old one at its gate too", n)
	}
	if err := os.WriteFile(h.path("open"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	h.until("the old one is gone", func() bool { return len(h.status().Programs[0].Workers) == 1 })
	h.stops(0)
}
