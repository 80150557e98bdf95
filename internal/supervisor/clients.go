package supervisor

import (
	"time"

	"github.com/lastcall/lastcall/internal/pool"
)

// answerTimeout bounds the wait for clients of the control socket that have
// connected and say nothing, or do not read what they are told. The core's timer
// waits as long.
const answerTimeout = 500 * time.Millisecond

// answerClients takes no client of the control socket any more, and waits until
// those that were taken have their answers: the other executable has their
// connections no longer, and they would not know whether what they ask for is
// done. Who connects meanwhile is answered by the other.
func (s *Supervisor) answerClients() {
	if s.control == nil {
		return
	}
	quiet := s.control.Hold()
	late := time.NewTimer(answerTimeout)
	defer late.Stop()
	for s.replaceable() { // what they ask for may have to be waited for
		select {
		case <-quiet:
			return
		case call := <-s.calls:
			call()
		case e := <-s.events:
			s.step(e)
		case <-late.C:
			return
		}
	}
}

// takeClients takes clients again.
func (s *Supervisor) takeClients() {
	if s.control != nil {
		s.control.Release()
	}
}

// replaceable tells whether another executable may take over now.
func (s *Supervisor) replaceable() bool { return s.mayUpgrade() && s.core.Phase() != pool.Stopping }

// mayUpgrade tells whether nothing is under way that another executable could
// not go on with: an operator's command, a stop command.
func (s *Supervisor) mayUpgrade() bool {
	for _, l := range s.lives {
		if l.command == nil {
			continue
		}
		select {
		case <-l.command.Exited():
		default:
			return false
		}
	}
	return len(s.replies) == 0 && !s.balancing() && !s.core.Waiting()
}
