package supervisor

import (
	"os"
	"os/signal"
	"slices"
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
		s.hangup(stopping)
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

// hangup restarts what listens. Nobody waits for the core's answer, so what it
// would refuse is said here.
func (s *Supervisor) hangup(stopping bool) {
	listens := func(p Program) bool { return len(p.Listen) > 0 }
	switch {
	case stopping:
		s.log.Warn("nothing to restart: it is stopping")
	case !slices.ContainsFunc(s.config.Programs, listens):
		s.log.Warn("nothing to restart: no program has listeners")
	default:
		s.step(pool.Restart{Slot: -1})
	}
}

// orphaned tells whether the terminal that the supervisor was started on has
// been closed: then HUP means that its user is gone.
func (s *Supervisor) orphaned() bool { return s.terminal && !opensTerminal() }

// hasTerminal is asked before any signal is caught. nohup ignores HUP, by
// which the user says that the terminal's end shall not be the program's.
func hasTerminal() bool { return !signal.Ignored(syscall.SIGHUP) && opensTerminal() }

// opensTerminal tells whether this process has a controlling terminal, wherever
// its output goes.
func opensTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	tty.Close()
	return true
}
