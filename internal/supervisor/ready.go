package supervisor

import (
	"context"
	"time"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
)

// probeEvery is how often a readiness probe is asked where it does not say.
const probeEvery = 50 * time.Millisecond

// watchReady finds out when a life is ready, if it may not say so itself: by
// its program's probe; else, until it says anything, by seeing that it waits
// for connections, or at last because it has stayed up.
func (s *Supervisor) watchReady(l *life) {
	ctx, cancel := context.WithCancel(l.ctx)
	l.spoke = cancel
	ready := func() {
		// After the call, not before: what it said meanwhile counts.
		s.call(ctx, func() {
			if ctx.Err() == nil {
				s.step(pool.Ready{ID: l.id})
			}
		})
	}
	if l.program.Ready == nil {
		listeners := s.socketsOf(l, l.program.Listen)
		accepting, pid := s.system.accepting, l.process.Pid() // the loop's alone
		look := func() sock.Sight { return accepting(pid, listeners) }
		minUptime := l.program.MinUptime
		go func() {
			if guessReady(ctx, look, len(listeners) > 0, minUptime) {
				ready()
			}
		}()
		return
	}
	spec := l.program.Ready.Expand(l.variables())
	question, err := s.open(spec)
	if err != nil {
		s.log.Error("probe", "worker", l.id.Worker(), "err", err)
		return // not ready in time
	}
	every := spec.Every
	if every == 0 {
		every = probeEvery
	}
	go func() {
		defer question.Close()
		if gate.Wait(ctx, question, every, spec.Timeout, func(string) {}) == nil {
			ready()
		}
	}()
}

// open makes a question of its specification.
func (s *Supervisor) open(spec gate.Spec) (gate.Question, error) {
	kind, ok := s.options.Kinds[spec.Kind]
	if !ok {
		return nil, &unknownKind{spec.Kind}
	}
	q, err := kind.Open(spec)
	if err != nil {
		return nil, err
	}
	return openQuestion{q}, nil
}

// An openQuestion is one that may run a command: with no signal blocked, as they
// are in most threads after an upgrade.
type openQuestion struct{ gate.Question }

func (q openQuestion) Ask(ctx context.Context) (string, error) {
	defer proc.UnblockSignals()()
	return q.Question.Ask(ctx)
}

type unknownKind struct{ kind string }

func (e *unknownKind) Error() string { return "no such kind of gate or probe: " + e.kind }
