package supervisor

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/pool"
)

// handled returns the signals that mean something to the supervisor. Within
// another program they are four: the others may be that program's. On a
// terminal the last three are the terminal's own: to catch TTOU there would be
// to write the same line for ever, from the background.
func (s *Supervisor) handled() []os.Signal {
	signals := []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}
	if s.options.Upgrade == nil {
		return signals
	}
	signals = append(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	if !s.terminal {
		signals = append(signals, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGWINCH)
	}
	return signals
}

// catchSignals has them brought to the loop, if they are ours.
func (s *Supervisor) catchSignals() {
	if !s.options.LeaveSignals {
		signal.Notify(s.signals, s.handled()...)
	}
}

// signalled takes one signal. A hundred TERM are one; the second INT says what
// is waited for, the third cuts it.
func (s *Supervisor) signalled(sig syscall.Signal) {
	stopping := s.core.Phase() == pool.Stopping
	s.log.Info("signal", "name", unix.SignalName(sig))
	switch sig {
	case syscall.SIGINT:
		s.interrupted(stopping)
	case syscall.SIGHUP:
		s.hangup(stopping)
	case syscall.SIGUSR1:
		s.reopen()
	case syscall.SIGUSR2:
		s.wantUpgrade()
	case syscall.SIGTTIN:
		s.scaleBy(1)
	case syscall.SIGTTOU:
		s.scaleBy(-1)
	case syscall.SIGWINCH:
		s.drainWorkers()
	default:
		if !stopping {
			s.step(pool.Stop{Slot: -1})
		}
	}
}

// takePending takes the signals that came while nobody did.
func (s *Supervisor) takePending() {
	pending := s.pending
	s.pending = nil
	for _, sig := range pending {
		s.signalled(sig)
	}
}

func (s *Supervisor) interrupted(stopping bool) {
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

// hangup reads the configuration again and rolls what listens. Nobody waits for
// the core's answer, so what it would refuse is said here.
func (s *Supervisor) hangup(stopping bool) {
	switch {
	case s.orphaned():
		if !stopping {
			s.step(pool.Stop{Slot: -1})
		}
	case stopping:
		s.log.Warn("nothing to restart: it is stopping")
	case s.options.Load != nil:
		s.hungUp()
		s.reloadAndRoll()
	case len(s.serving()) == 0:
		s.hungUp()
		s.judged("nothing to restart: no program has listeners")
		s.log.Warn("nothing to restart: no program has listeners")
	default:
		s.hungUp()
		s.step(pool.Restart{Slot: -1})
	}
}

// reopen has the log opened anew, which has been moved away.
func (s *Supervisor) reopen() {
	if s.options.Reopen == nil {
		s.log.Warn("no log to reopen: it is not written to a file")
		return
	}
	go func() {
		if err := s.options.Reopen(); err != nil {
			s.log.Error("reopen log", "err", err)
			return
		}
		s.log.Info("log reopened")
	}()
}

// serving returns the programs that have listeners.
func (s *Supervisor) serving() []*Program {
	var out []*Program
	for i := range s.config.Programs {
		if p := &s.config.Programs[i]; p.serves() {
			out = append(out, p)
		}
	}
	return out
}

// scaleBy gives the one program that can be meant more workers or fewer, but
// at least one.
func (s *Supervisor) scaleBy(n int) {
	all := s.serving()
	if len(all) == 0 && len(s.config.Programs) == 1 {
		all = []*Program{&s.config.Programs[0]}
	}
	if len(all) != 1 {
		s.log.Warn("which program to scale cannot be told; use lastcall scale NAME=WORKERS")
		return
	}
	for _, p := range s.core.Snapshot().Programs {
		if p.Name == all[0].Name { // the core refuses a program without workers
			s.step(pool.Scale{Program: p.Name, Workers: p.Wanted + n})
		}
	}
}

// drainWorkers stops the workers of what listens, and keeps the sockets: what
// connects from now on waits in them until somebody starts the workers again.
// A program that others depend on serves on.
func (s *Supervisor) drainWorkers() {
	serving := s.serving()
	if len(serving) == 0 {
		s.log.Warn("nothing to drain: no program has listeners")
	}
	for _, p := range serving {
		s.step(pool.Stop{Program: p.Name, Slot: -1})
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
