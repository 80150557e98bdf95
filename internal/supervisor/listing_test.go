package supervisor

import (
	"context"
	"testing"

	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
)

// answer plays a worker that has one operation, and answers n questions at a
// time.
func (f *talkingSystem) answer(i, n int) {
	end := f.end(i)
	var open []int
	for {
		m, err := end.Receive()
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
			_ = end.Send(wire.Message{Inflight: &wire.Inflight{Request: request, Critical: 1, Operations: []wire.Operation{{Name: "GET"}}}})
		}
		open = nil
	}
}

// One worker that does not answer hides none of those that do.
func TestWedgedWorkerHidesNoOther(t *testing.T) {
	s, f := runTalking(t, program("web", 8, "sleep"))
	for i := 1; i < 8; i++ { // web.0 never answers
		go f.answer(i, 1)
	}
	for range 4 { // the fault shows in three of four
		known := 0
		for _, w := range s.workers() {
			if w.Inflight == 1 {
				known++
			}
		}
		if known != 7 {
			t.Errorf("%d of the 7 that answered are known", known)
		}
	}
	s.stopLater()
	s.logged("msg=draining")
	for i := range 8 {
		f.quit(i, proc.Exit{})
	}
	s.ended()
}

// Two operators who look at once see the same, though the worker owes the
// first his answer when the second asks.
func TestTwoOperatorsSeeTheSame(t *testing.T) {
	s, f := runTalking(t, program("web", 1, "sleep"))
	go f.answer(0, 2)
	got := make(chan int, 2)
	for range 2 {
		go func() {
			ops, _ := s.Inflight(context.Background(), "")
			got <- len(ops)
		}()
	}
	if a, b := <-got, <-got; a != 1 || b != 1 {
		t.Errorf("two operators see %d and %d operations, there is 1", a, b)
	}
	s.stopLater()
	s.logged("msg=draining")
	f.quit(0, proc.Exit{})
	s.ended()
}
