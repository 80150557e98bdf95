package supervisor

import (
	"syscall"
	"time"
)

// strayTimeout is how long a stray may take to end by itself.
const strayTimeout = 5 * time.Second

// strayRounds bounds how often is looked again: the end of one stray may make
// its children others.
const strayRounds = 10

// killStray ends one that does not end by itself. One that cannot be killed,
// as another user's or in the kernel, is left.
func (s *Supervisor) killStray(p process) {
	_ = p.Signal(syscall.SIGKILL)
	moment := time.NewTimer(time.Second)
	defer moment.Stop()
	select {
	case <-p.Exited():
	case <-moment.C:
		s.log.Error("it cannot be ended", "pid", p.Pid())
	}
}

// endStrays ends what workers have left behind outside their groups (setsid),
// when all else has ended: nobody else would, and a port or a file that one
// holds would be in the way of the next start. Within another program, which
// may have such children of its own, it is not done.
func (s *Supervisor) endStrays() {
	if s.system.strays == nil || s.options.Upgrade == nil {
		return
	}
	for range strayRounds {
		strays := s.system.strays()
		if len(strays) == 0 {
			return
		}
		for _, p := range strays {
			s.log.Warn("ending a process that a worker has left behind", "pid", p.Pid())
			_ = p.Signal(syscall.SIGTERM) // it may have ended meanwhile
			_ = p.Signal(syscall.SIGCONT)
		}
		limit := time.NewTimer(strayTimeout)
		for _, p := range strays {
			select {
			case <-p.Exited():
			case <-limit.C:
				limit.Reset(0) // for the others too
				s.killStray(p)
			}
		}
		limit.Stop()
	}
}
