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

// watchReady finds out when a life is ready that was started at since, as far as
// neither its own word nor what it writes tells that.
func (s *Supervisor) watchReady(l *life, since time.Time) {
	ctx, cancel := context.WithCancel(l.ctx)
	l.spoke = cancel
	switch {
	case l.program.Ready != nil:
		s.probe(ctx, l)
	case l.program.ReadyBy.Sign == StaysUp:
		go func() {
			select {
			case <-time.After(time.Until(since.Add(l.program.MinUptime))):
				s.isReady(ctx, l)
			case <-ctx.Done():
			}
		}()
	case l.program.ReadyBy.Sign == AnySign, l.program.ReadyBy.Sign == Accepts:
		s.guess(ctx, l, since)
	}
	s.watchWrapping(l)
}

// isReady tells the core, from another goroutine, unless ctx has ended.
func (s *Supervisor) isReady(ctx context.Context, l *life) {
	// After the call, not before: what it said meanwhile counts.
	s.call(ctx, func() {
		if ctx.Err() == nil {
			s.step(pool.Ready{ID: l.id})
		}
	})
}

// guess finds out by looking at a life: that it waits for connections, or at
// last, if that may count, that it has stayed up.
func (s *Supervisor) guess(ctx context.Context, l *life, since time.Time) {
	listeners := s.socketsOf(l, l.program.Listen)
	accepting, pid := s.system.accepting, l.process.Pid() // the loop's alone
	g := guess{
		look:  func() sock.Sight { return l.saw(accepting(pid, listeners)) },
		first: s.firstLook(l), listens: len(listeners) > 0, strict: l.program.ReadyBy.Sign == Accepts,
		up:      since.Add(l.program.MinUptime),
		lacking: func(what string) { s.call(ctx, func() { l.lacks = what }) },
	}
	go func() {
		if g.wait(ctx) {
			s.isReady(ctx, l)
		}
	}()
}

// probe asks the program's question until the answer is go.
func (s *Supervisor) probe(ctx context.Context, l *life) {
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
	report := func(waiting string) { s.call(ctx, func() { l.lacks = waiting }) }
	go func() {
		defer question.Close()
		if gate.Wait(ctx, question, every, spec.Timeout, report) == nil {
			s.isReady(ctx, l)
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
