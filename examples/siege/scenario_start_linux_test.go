package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"
)

// TERM at any moment of the start is a stop like another: nothing is left, the
// port is free, and the exit code says that all is well. Hello has the moments
// around the start of the supervisor, siege those around the start of the
// workers. With the race detector, which makes everything slow, the moments are
// a quarter of the 320.
func TestS9TermAroundTheFork(t *testing.T) {
	t.Parallel()
	moments := 320
	if hasRaceDetector() {
		moments /= 4
	}
	for half := range 2 { // at the same time
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for i := range moments / 2 {
				name, moment := "hello", termAfterSpawn
				switch i % 8 {
				case half, half + 4:
					name, moment = "siege", termAfterRedis(program{})
				case half + 2: // its interpreter takes as long to start as ten of the others
					name, moment = "python", termAfterRedis(program{python: true})
				}
				if !t.Run(fmt.Sprintf("%s-%d", name, i), moment) {
					return
				}
			}
		})
	}
}

// termAfterSpawn sends TERM up to 50 ms after the supervisor's process is
// there.
func termAfterSpawn(t *testing.T) {
	s := &stage{t: t, dir: t.TempDir(), addr: freeAddr(t), ended: make(chan struct{})}
	s.start("", "--workers", "2", "--listen", s.addr, "--", built.path(t, "hello"))
	s.termAfter(50 * time.Millisecond)
	s.stopped()
}

// termAfterRedis sends TERM up to 12 ms after redis answers, or as long as the
// program takes to be there.
func termAfterRedis(in program) func(t *testing.T) {
	return func(t *testing.T) {
		s := open(t, setup{in: in})
		if err := os.MkdirAll(s.file("siege_data"), 0o777); err != nil { // no worker may come so far
			t.Fatal(err)
		}
		s.awaitLog(entry{Msg: "ready", Worker: "redis.0"})
		most := 12 * time.Millisecond
		if in.python {
			most = time.Second
		}
		s.termAfter(most)
		s.stopped()
	}
}

// termAfter sends TERM after a random part of a time.
func (s *stage) termAfter(most time.Duration) {
	s.t.Helper()
	d := rand.N(most)
	<-time.After(d)
	s.t.Logf("TERM after %v", d)
	s.signal(syscall.SIGTERM)
}

// stopped checks the end, which may have come before the program itself: TERM
// before it is caught kills a supervisor that has done nothing yet.
func (s *stage) stopped() {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(endLimit):
		s.t.Fatal("TERM is lost: it serves")
	}
	status := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if len(s.log()) == 0 && status.Signaled() && status.Signal() == syscall.SIGTERM {
		s.ends(-1, "")
		return
	}
	s.ends(0, "")
	if _, err := os.Stat(s.file("c.sock")); err == nil {
		s.t.Error("the control socket is left")
	}
}
