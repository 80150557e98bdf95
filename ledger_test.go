package lastcall

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// empty waits as a drain does, until nothing is in progress.
func empty(t *testing.T, l *ledger, wake chan struct{}) {
	t.Helper()
	for {
		s := l.tally(WaitAll)
		if s.critical+s.expendable+s.unwinding == 0 {
			return
		}
		within(t, "the ledger tells of a change", wake)
	}
}

func newOperation(l *ledger, name string, c Class) *Operation {
	op := &Operation{name: name, class: c}
	op.ctx, op.cancel = context.WithCancelCause(context.Background())
	l.begin(op)
	return op
}

// TestNoLostWakeup ends operations while the drain begins: whatever the order,
// the drain sees the end of the last one.
func TestNoLostWakeup(t *testing.T) {
	for range 2000 {
		l := newLedger()
		wake := make(chan struct{}, 1)
		var wg sync.WaitGroup
		for i := range 3 {
			op := newOperation(l, fmt.Sprint(i), Class(i%classes))
			wg.Go(func() {
				if rand.IntN(2) == 0 {
					op.ledger.mark(op, ClassExpendable, "")
				}
				op.End()
			})
		}
		l.close(wake)
		empty(t, l, wake)
		wg.Wait()
	}
}

// TestAdmissionAndDrain races Begin with the drain: what was admitted is waited
// for, and nothing is admitted behind the drain's back.
func TestAdmissionAndDrain(t *testing.T) {
	for range 2000 {
		l := newLedger()
		wake := make(chan struct{}, 1)
		root := newOperation(l, "root", 0)
		var wg sync.WaitGroup
		var mu sync.Mutex
		over := false
		for range 3 {
			wg.Go(func() {
				op, err := Begin(root.Context(), "child")
				if err != nil {
					if !errors.Is(err, ErrDraining) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				if over {
					t.Error("admitted when nothing was in progress any more")
				}
				mu.Unlock()
				op.End()
			})
		}
		wg.Go(root.End)
		l.close(wake)
		empty(t, l, wake)
		mu.Lock()
		over = true
		mu.Unlock()
		wg.Wait()
	}
}

func TestBegin(t *testing.T) {
	l := newLedger()
	wake := make(chan struct{}, 1)
	request := newOperation(l, "GET", 0)
	before, err := Begin(request.Context(), "before")
	if err != nil {
		t.Fatal(err)
	}
	if got := l.tally(WaitCritical); got.critical != 1 || got.expendable != 1 {
		t.Errorf("tally %+v: what was begun is critical, an unmarked request under WaitCritical not", got)
	}
	l.close(wake)
	within(t, "Draining", Draining(before.Context()))

	child, err := Begin(before.Context(), "child of one in progress")
	if err != nil {
		t.Errorf("Begin in an operation in progress: %v", err)
	}
	before.End()
	before.End()
	if _, err := Begin(before.Context(), "grandchild of one in progress"); err != nil {
		t.Errorf("Begin where the request is in progress: %v", err)
	}
	request.End()
	if _, err := Begin(request.Context(), "too late"); !errors.Is(err, ErrDraining) {
		t.Errorf("Begin in an operation that has ended: %v, want ErrDraining", err)
	}
	if child.Context().Err() == nil { // its request has ended, and it with it
		t.Error("the child's context outlives what it was begun in")
	}
	if got := l.tally(WaitAll); got.critical != 2 || got.finished != 2 {
		t.Errorf("tally %+v, want 2 critical and 2 finished", got)
	}
}

func TestCancel(t *testing.T) {
	l := newLedger()
	wake := make(chan struct{}, 1)
	spared, kept := newOperation(l, "spared", ClassExpendable), newOperation(l, "kept", ClassCritical)
	l.close(wake)
	n := l.cancel(cutSpared, func(op *Operation) bool { return op.class == ClassExpendable })
	if n != 1 || context.Cause(spared.Context()) != ErrCut || kept.Context().Err() != nil {
		t.Errorf("cut %d, causes %v and %v", n, context.Cause(spared.Context()), context.Cause(kept.Context()))
	}
	if _, err := Begin(spared.Context(), "by one that was cut"); !errors.Is(err, ErrDraining) {
		t.Errorf("Begin in an operation that was cut: %v", err)
	}
	if got := l.tally(WaitAll); got.critical != 1 || got.expendable != 0 || got.unwinding != 1 {
		t.Errorf("tally %+v", got)
	}
	SetClass(spared.Context(), ClassCritical)
	spared.End()
	kept.End()
	if got := l.tally(WaitAll); got != (tally{finished: 1}) {
		t.Errorf("tally %+v", got)
	}
}

// TestProcessLedger begins work that belongs to no worker.
func TestProcessLedger(t *testing.T) {
	s := serveHandler(t, &Worker{}, ok)
	op, err := Begin(context.Background(), "background")
	if err != nil {
		t.Fatal(err)
	}
	s.Drain()
	within(t, "Draining of the process", Draining(op.Context()))
	if _, err := Begin(context.Background(), "too late"); !errors.Is(err, ErrDraining) {
		t.Errorf("Begin: %v", err)
	}
	if len(s.end) > 0 {
		t.Error("Serve has not waited for work of the process")
	}
	op.End()
	s.drained()

	// The worker has ended, the process has not: a test of a handler, say.
	after, err := Begin(context.Background(), "after")
	if err != nil {
		t.Fatalf("Begin when no worker drains: %v", err)
	}
	after.End()
}

// TestProcessEnding keeps the process's ledger closed after a signal.
func TestProcessEnding(t *testing.T) {
	p := &processLedger{ledger: ledger{draining: make(chan struct{})}}
	wake := make(chan struct{}, 1)
	p.close(wake)
	p.reopen(wake, false)
	if p.closed || len(p.wakes) > 0 {
		t.Error("still closed when nobody drains")
	}
	p.close(wake)
	p.reopen(wake, true)
	if !p.closed {
		t.Error("open again though the process ends")
	}
}

func TestCutErrorText(t *testing.T) {
	e := &CutError{Operations: []CutOperation{
		{Name: "POST", Route: "/work/{name}", Class: ClassCritical, Age: 3214567890, Client: "10.0.0.1:99"},
		{Name: "GET", Route: "/big", Class: ClassExpendable, Age: 1500000, Client: "10.0.0.2:99", Stalled: true},
		{Name: "run janitor", Class: ClassCritical, Age: 61e9},
	}}
	want := "cut 3 of the operations in progress: POST /work/{name} (critical, 3.2s old, from 10.0.0.1:99), " +
		"GET /big (expendable, 1.5ms old, from 10.0.0.2:99, stalled), run janitor (critical, 1m1s old)"
	if got := e.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !errors.Is(e, ErrCut) {
		t.Error("not ErrCut")
	}
	e.Operations = make([]CutOperation, 12)
	if got := e.Error(); got[len(got)-10:] != "and 2 more" {
		t.Errorf("got %s", got)
	}
}
