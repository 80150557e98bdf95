package pool

import "slices"

// listenerState is how far the closing of a listener has come.
type listenerState int

const (
	open      listenerState = iota
	quiescing               // the kernel takes no new connection; its queue empties
	quiet                   // its queue is empty
	shut                    // the supervisor's copy is closed
)

// String returns what status shows.
func (s listenerState) String() string {
	return [...]string{"open", "quiesced", "quiesced", "closed"}[s]
}

type listener struct {
	name  string
	state listenerState
	users []*program
}

func (p *Pool) listener(name string) *listener {
	for _, l := range p.listeners {
		if l.name == name {
			return l
		}
	}
	return nil
}

// quiesce takes a program's listeners out of service, as far as no other
// program that still serves uses them, and tells whether their queues are
// empty. A queue that nobody accepts from cannot empty: then it is not waited
// for.
func (p *Pool) quiesce(pr *program) bool {
	quiesced := true
	for _, l := range p.listeners {
		if !pr.accepts(l) {
			continue
		}
		if l.state == open && p.unused(l) {
			l.state = quiescing
			p.emit(Quiesce{Listener: l.name})
		}
		quiesced = quiesced && l.state != quiescing
	}
	return quiesced || !pr.serves()
}

// held tells whether a life that goes on serving was given the listener.
func (p *Pool) held(l *listener) bool {
	for _, pr := range p.programs {
		for _, s := range pr.slots {
			if slices.ContainsFunc(s.lives, func(life *life) bool { return !life.leaving() && slices.Contains(life.listens, l.name) }) {
				return true
			}
		}
	}
	return false
}

// accepts tells whether lives of the program accept from the listener, or those
// to come will.
func (pr *program) accepts(l *listener) bool {
	return slices.Contains(l.users, pr) || slices.ContainsFunc(pr.slots, func(s *slot) bool {
		return slices.ContainsFunc(s.lives, func(life *life) bool { return slices.Contains(life.listens, l.name) })
	})
}

// unused tells whether nobody will accept from the listener any more. Before the
// final stop a program that is down comes back.
func (p *Pool) unused(l *listener) bool {
	for _, pr := range l.users {
		if !pr.ending && !(p.phase == Stopping && pr.down()) {
			return false
		}
	}
	return true
}

// serves tells whether a ready life of the program is left.
func (pr *program) serves() bool {
	for _, s := range pr.slots {
		if s.serving() != nil {
			return true
		}
	}
	return false
}

// settleListeners closes every listener whose users have all let go of it, so
// that a successor can bind while they drain.
func (p *Pool) settleListeners() {
	for _, l := range p.listeners {
		if l.state == open && len(l.users) == 0 && !p.held(l) { // a reload has done away with it
			l.state = quiescing
			p.emit(Quiesce{Listener: l.name})
		}
		if (l.state == quiescing || l.state == quiet) && p.released(l) {
			l.state = shut
			p.emit(CloseListener{Listener: l.name})
		}
	}
	p.listeners = slices.DeleteFunc(p.listeners, func(l *listener) bool { return l.state == shut && len(l.users) == 0 })
}

// hasClosed tells whether the life holds the listener no more.
func (l *life) hasClosed(listener string) bool {
	return l.drained || slices.Contains(l.closed, listener)
}

// hasLeft tells whether a life that cannot say so has been told to take no
// newcomers any more, or has said that it ends.
func (l *life) hasLeft() bool { return l.step == signalled || l.step == byItself || l.closeSent }

// released tells whether every life that was given the listener has closed it,
// or cannot say so and has left it.
func (p *Pool) released(l *listener) bool {
	for _, pr := range p.programs {
		for _, s := range pr.slots {
			for _, life := range s.lives {
				told := life.killed || life.hung && life.state == LifeCutting || life.hasLeft() && (!life.channel || life.exited)
				if slices.Contains(life.listens, l.name) && !told && !life.hasClosed(l.name) && life.state != LifeStuck {
					return false
				}
			}
		}
	}
	return true
}
