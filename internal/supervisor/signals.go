package supervisor

import (
	"os"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/pool"
)

// signalled takes one signal. A hundred TERM are one; the second INT says what
// is waited for, the third cuts it.
func (s *Supervisor) signalled(sig syscall.Signal) {
	stopping := s.core.Snapshot().Phase == pool.Stopping
	s.log.Info("signal", "name", sig.String())
	switch {
	case sig == syscall.SIGHUP && !s.orphaned():
		s.step(pool.Restart{Slot: -1})
	case sig != syscall.SIGINT:
		if !stopping {
			s.step(pool.Stop{Slot: -1})
		}
	default:
		s.ints++
		switch {
		case s.ints >= 3:
			s.step(pool.Stop{Slot: -1, Now: true})
		case stopping:
			s.talk = time.Now()
			s.log.Info("still draining; interrupt again to cut what is in progress")
		default:
			s.step(pool.Stop{Slot: -1})
		}
	}
}

// orphaned tells whether the terminal that the supervisor runs on has been
// closed: then HUP means that its user is gone.
func (s *Supervisor) orphaned() bool {
	if !s.options.Terminal {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return true
	}
	return tty.Close() != nil
}
