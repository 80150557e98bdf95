package supervisor

import (
	"fmt"
	"slices"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/wire"
)

// listen brings the messages of a life's channel to the loop, and returns a
// channel that is closed when no more can come.
func (s *Supervisor) listen(l *life) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		for {
			m, err := l.channel.Receive()
			if s.parks(l, end, err) {
				continue
			}
			if err != nil {
				return // the process, or our own end, has closed it
			}
			if !s.call(l.ctx, func() { s.heard(l, m) }) {
				return
			}
		}
	}()
	return end
}

// heard takes one message of a life.
func (s *Supervisor) heard(l *life, m wire.Message) {
	switch {
	case m.Hello != nil:
		l.hello = true
		if l.trust != nil {
			l.trust()
		}
		l.guarded.Drains()
		s.forgetWork(l)
		s.step(pool.Hello{ID: l.id, Moves: slices.Contains(m.Hello.Features, wire.FeatureMove)})
		s.heardFrom(l)
	case m.Ready != nil:
		s.saidReady(l)
	case m.Closed != nil:
		s.step(pool.Closed{ID: l.id, Listeners: l.closedListeners(s, m.Closed.Listeners)})
	case m.Worn != nil:
		s.step(pool.Worn{ID: l.id, Why: fmt.Sprintf("max_requests: has served %d", m.Worn.Served)})
	case m.Quiet != nil:
		s.step(pool.Quiet{ID: l.id})
	case m.Notify != nil:
		s.notified(l, wire.ParseNotify([]byte(m.Notify.Text)))
	case m.Inflight != nil:
		l.listed(*m.Inflight)
	case m.Lost != nil:
		s.lostPeer(l, *m.Lost)
	case m.Drained != nil:
		l.moved = m.Drained.Moved
		l.cut = append(l.cut, operations(l.id.Worker(), m.Drained.Cut)...)
		if !m.Drained.More {
			s.step(pool.Drained{ID: l.id, Cut: len(l.cut)})
		}
	}
}

// heardFrom ends the guessing about a life that says itself when it is ready.
func (s *Supervisor) heardFrom(l *life) {
	l.spokeUp = true
	s.endGuess(l)
}

func (s *Supervisor) endGuess(l *life) {
	if l.spoke != nil && l.program.Ready == nil && l.program.ReadyBy.Sign == AnySign {
		l.spoke()
	}
}

// saidReady takes a life's own word, unless something else was configured to
// know better.
func (s *Supervisor) saidReady(l *life) {
	if l.program.ownWord() {
		s.step(pool.Ready{ID: l.id})
	}
}
