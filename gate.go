package lastcall

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A gate asks the application's question until the answer is go.
type gate struct {
	ask   func(context.Context) (string, error)
	every time.Duration
	wake  chan<- struct{}

	mu      sync.Mutex
	open    bool
	waiting string
}

// askGate asks the gate, until the deadline. It returns what it was waiting for
// when there was no time left, "" if it opened.
func (r *run) askGate() (waiting string) {
	if r.worker.Gate == nil {
		return ""
	}
	g := &gate{ask: r.worker.Gate, every: or(r.worker.GateEvery, defaultGateEvery), wake: r.wake, waiting: "no answer"}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(ErrCut)
	go g.run(ctx)
	r.gateSince = time.Now()
	if r.until(g.isOpen, &r.deadline) {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

func (r *run) gateAge() time.Duration { return time.Since(r.gateSince) }

// run asks from a goroutine of its own: a question that hangs must not keep the
// drain from its deadline.
func (g *gate) run(ctx context.Context) {
	defer poke(g.wake)
	for ctx.Err() == nil {
		waiting, err := g.once(ctx)
		g.mu.Lock()
		switch {
		case err != nil:
			g.waiting = err.Error()
		case waiting == "":
			g.open = true
		default:
			g.waiting = waiting
		}
		open := g.open
		g.mu.Unlock()
		if open {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(g.every):
		}
	}
}

// once asks; a panic is an answer that cannot be had.
func (g *gate) once(ctx context.Context) (waiting string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return g.ask(ctx)
}

func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}
