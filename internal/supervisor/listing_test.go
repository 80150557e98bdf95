package supervisor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
)

// answer plays a worker that has one operation, and answers n questions at a
// time.
func answer(p *fakeProcess, n int) {
	var open []int
	for {
		m, err := p.channel.Receive()
		if err != nil {
			return
		}
		if m.List == nil {
			continue
		}
		if open = append(open, m.List.Request); len(open) < n {
			continue
		}
		for _, request := range open {
			_ = p.channel.Send(wire.Message{Inflight: &wire.Inflight{Request: request, Critical: 1, Operations: []wire.Operation{{Name: "GET"}}}})
		}
		open = nil
	}
}

// One worker that does not answer hides none of those that do, and holds up
// nobody for more than his time.
func TestWedgedWorkerHidesNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runTalking(t, program("web", 8, "sleep"))
		for i := 1; i < 8; i++ { // web.0 never answers
			go answer(b.system.process(i), 1)
		}
		for range 20 {
			known, asked := 0, time.Now()
			for _, w := range b.workers() {
				if w.Inflight == 1 {
					known++
				}
			}
			if known != 7 {
				t.Errorf("%d of the 7 that answered are known", known)
			}
			if took := time.Since(asked); took > listTimeout {
				t.Errorf("status took %v", took)
			}
		}
		b.asks(control.Request{Verb: "stop"})
		for i := range 8 {
			b.ends(i, proc.Exit{})
		}
		b.returned(exitDone)
	})
}

// Two operators who look at once see the same, though the worker owes the
// first his answer when the second asks.
func TestTwoOperatorsSeeTheSame(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runTalking(t, program("web", 1, "sleep"))
		go answer(b.system.process(0), 2)
		got := make(chan int, 2)
		for range 2 {
			go func() {
				ops, _ := b.Inflight(context.Background(), "")
				got <- len(ops)
			}()
		}
		synctest.Wait()
		if a, c := <-got, <-got; a != 1 || c != 1 {
			t.Errorf("two operators see %d and %d operations, there is 1", a, c)
		}
		b.asks(control.Request{Verb: "stop"})
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}
