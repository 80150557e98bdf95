package supervisor

import (
	"context"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/wire"
)

// listTimeout is how long a worker may take to say what it is doing. One that
// is too busy to answer must not hold up the operator's view of the others.
const listTimeout = 500 * time.Millisecond

// maxListed bounds how many operations of one worker are listed.
const maxListed = 1000

const maxQuestions = 8

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A listing is one worker's answer to a List, as it comes in. It is the
// loop's until whole is closed.
type listing struct {
	inflight   wire.Inflight
	operations []control.Operation
	whole      chan struct{} // closed when the answer is there, or never will be
	answered   bool
	ended      bool
}

func (q *listing) end() {
	if !q.ended {
		q.ended = true
		close(q.whole)
	}
}

// listed takes one page of an answer.
func (l *life) listed(m wire.Inflight) {
	q := l.lists[m.Request]
	if q == nil {
		return // too late
	}
	q.inflight = m
	q.operations = append(q.operations, operations(l.id.Worker(), m.Operations)...)
	if !m.More {
		q.answered = true
		delete(l.lists, m.Request)
		q.end()
	}
}

// list asks the workers that the filter lets through for their operations, and
// waits for the answers. A worker that has not answered in time, or has no
// channel and has not said otherwise what it does, is not in the result.
func (s *Supervisor) list(ctx context.Context, most int, filter func(*life) bool) map[pool.ID]*listing {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	asked := make(map[pool.ID]*listing)
	s.call(ctx, func() {
		for id, l := range s.lives {
			if !l.hello && filter(l) {
				if q := l.listWork(most); q != nil {
					asked[id] = q
				}
			}
			// A worker that owes answers is not asked for ever: its channel
			// must not fill with questions.
			if !l.hello || len(l.lists) >= maxQuestions || !filter(l) {
				continue
			}
			s.token++
			q := &listing{whole: make(chan struct{})}
			l.lists[s.token] = q
			asked[id] = q
			// One that cannot be asked is on its way out.
			_ = l.channel.Send(wire.Message{List: &wire.List{Request: s.token, Max: most}})
		}
	})
	for id, q := range asked {
		select {
		case <-q.whole:
		case <-ctx.Done():
		}
		if !isClosed(q.whole) || !q.answered { // of two that are ready select takes any
			delete(asked, id)
		}
	}
	return asked
}
