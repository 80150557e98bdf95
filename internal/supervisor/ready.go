package supervisor

import (
	"context"
	"time"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
)

// probeEvery is how often a readiness probe is asked where it does not say.
const probeEvery = 50 * time.Millisecond

// acceptEvery is how often it is looked whether a worker accepts that does not
// say when it is ready.
const acceptEvery = 20 * time.Millisecond

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
		go s.guessReady(ctx, l, ready)
		return
	}
	spec := l.program.Ready.Expand(variables(wire.Env{Program: l.id.Program, Slot: l.id.Slot, Workers: l.program.Workers}))
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

func (s *Supervisor) guessReady(ctx context.Context, l *life, ready func()) {
	var listeners []*sock.Listener
	for _, name := range l.program.Listen {
		listeners = append(listeners, s.listeners[name].Listener)
	}
	pid := l.process.Pid()
	up := time.NewTimer(l.program.MinUptime)
	defer up.Stop()
	look := time.NewTicker(acceptEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-up.C:
			ready()
			return
		case <-look.C:
			for _, ln := range listeners {
				if yes, _ := sock.Accepting(pid, ln); yes {
					ready()
					return
				}
			}
		}
	}
}

// open makes a question of its specification.
func (s *Supervisor) open(spec gate.Spec) (gate.Question, error) {
	kind, ok := s.options.Kinds[spec.Kind]
	if !ok {
		return nil, &unknownKind{spec.Kind}
	}
	return kind.Open(spec)
}

type unknownKind struct{ kind string }

func (e *unknownKind) Error() string { return "no such kind of gate or probe: " + e.kind }
