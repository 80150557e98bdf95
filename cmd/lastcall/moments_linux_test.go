package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// S9: TERM in the milliseconds in which workers are forked and become what they
// are. None misses it.
func TestS9TermAroundTheFork(t *testing.T) {
	for range 30 {
		h := build(t)
		moment := time.Duration(rand.IntN(120_000)) * time.Microsecond
		<-time.After(moment)
		h.send(syscall.SIGTERM)
		_ = h.cmd.Wait()
		// Before it could know of signals it has started nothing.
		if got := h.cmd.ProcessState; got.ExitCode() != 0 && strings.Contains(h.read("log"), "supervisor started") {
			t.Errorf("TERM after %v: it ended with %v", moment, got)
		}
		if left := h.left(); len(left) > 0 {
			t.Errorf("TERM after %v: left %v", moment, left)
		}
		h.free()
		if t.Failed() {
			return
		}
	}
}

// TERM while nothing but a helper has been started, which is not ready: what
// needs it never is started.
func TestTermBeforeTheFirstWorker(t *testing.T) {
	h := found(t)
	h.configure(`
[program.helper]
command = ["sleep", "600"]
ready = { file = "never" }
[program.job]
command = ["sleep", "600"]
depends_on = ["helper"]
`)
	h.start()
	h.logged("msg=started worker=helper.0")
	h.stops(0)
	if strings.Contains(h.read("log"), "worker=job.0") {
		t.Error("a worker was started")
	}
}

// A hundred signals at once, of which one is TERM, are that TERM.
func TestHundredSignals(t *testing.T) {
	for range 5 {
		h := build(t)
		h.logged("msg=ready\n")
		at := rand.IntN(100)
		for i := range 100 {
			sig := []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGUSR1}[rand.IntN(3)]
			if i == at {
				sig = syscall.SIGTERM
			}
			if h.cmd.Process.Signal(sig) != nil {
				break // it has ended
			}
		}
		h.ends(0)
		if got, want := h.read("journal"), "up\ndown\n"; got != want {
			t.Errorf("TERM was number %d: journal %q, want %q", at, got, want)
		}
	}
}

// TERM to every process there is, the helper excepted, is TERM to one: the
// request in progress is answered, and the helper ends last.
func TestTermToEverybody(t *testing.T) {
	h := build(t)
	h.logged("msg=ready\n")
	answer := h.post()
	var spared []int
	for _, pid := range h.left() {
		group, err := unix.Getpgid(pid)
		if err == nil && group == h.worker("helper.0").PID {
			spared = append(spared, pid)
		}
	}
	for _, pid := range h.left() {
		if !slices.Contains(spared, pid) {
			_ = unix.Kill(pid, syscall.SIGTERM) // one of its children may end by it first
		}
	}
	h.logged("msg=draining worker=web.1")
	h.finish()
	h.whole(answer)
	h.ends(0)
	if got, want := h.read("journal"), "up\nbegun\nanswered\ndown\n"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
}
