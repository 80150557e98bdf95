package lastcall

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"
)

// drain ends everything in order and returns what Serve returns.
func (r *run) drain() error {
	if r.asked == "" {
		r.ask("nothing is served any more", false)
	}
	r.lameDuck()
	r.lastCall()
	for i := range r.groups {
		r.drainGroup(i)
	}
	cut := r.verdict(r.askGate())
	r.report(cut)
	r.onExit()
	return r.result(cut)
}

// lastCall is the moment from which no new work is admitted.
func (r *run) lastCall() {
	now := time.Now()
	r.draining = true
	if r.deadline.IsZero() { // else the supervisor has set it, or it is to be cut
		r.setDeadline(now.Add(r.plan.timeout))
	}
	leaving := r.plan.leaving
	r.leaving = &leaving
	r.mover.drain(r.plan.move)
	first := r.groups[0].ledgers[0]
	first.close(r.wake)
	process.close(r.wake)
	for _, j := range r.groups[0].jobs {
		j.ask()
	}
	if r.link == nil {
		r.nextReport = now.Add(reportEvery)
		r.log.Info("draining", "reason", r.plan.why, "timeout", r.plan.timeout)
	}
	r.notify("STOPPING=1")
	if f := r.worker.OnDrain; f != nil {
		op := &Operation{name: "OnDrain", class: ClassCritical}
		op.ctx, op.cancel = context.WithCancelCause(context.Background())
		first.begin(op)
		go func() {
			defer op.End()
			r.protect("OnDrain", func() { f(op.Context()) })
		}()
	}
}

// turn makes a stop of a drain that was for a roll: there are no siblings any more
// to whom connections could move, and nobody who would serve the next request of
// a client that is held.
func (r *run) turn() {
	r.log.Info("draining for a stop now")
	r.mu.Lock()
	r.plan.roll, r.plan.move, r.plan.leaving.idle = false, false, 0
	l := r.plan.leaving
	r.mu.Unlock()
	if r.leaving == nil {
		return // nobody has been told yet
	}
	r.leaving = &l // connections look at the other one without a lock
	r.mover.drain(false)
	for _, g := range r.groups[:r.begun] {
		for _, j := range g.jobs {
			j.leave(&l, time.Now())
		}
	}
}

// protect runs a hook, whose failure is logged and nothing else.
func (r *run) protect(name string, hook func()) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("panic in hook", "hook", name, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	hook()
}

// drainGroup drains the servers of a group: their listeners, then what their
// connections and the applications are doing.
func (r *run) drainGroup(i int) {
	g := r.groups[i]
	if i > 0 {
		g.ledgers[0].close(r.wake)
		for _, j := range g.jobs {
			j.ask()
		}
	}
	for _, l := range g.listeners {
		l.stop(r.plan.quiesce, !r.plan.roll)
	}
	r.until(g.closed, &r.deadline)
	r.link.closed(r.closedNames(i))
	for _, j := range g.jobs {
		j.leave(r.leaving, time.Now())
	}
	r.begun = i + 1
	if !r.await(g) {
		r.cutFrom(i)
	}
	unwound := time.Now().Add(r.plan.unwind)
	if !r.unwound.IsZero() {
		unwound = r.unwound
	}
	r.until(func() bool {
		t := g.tally(r.plan.policy)
		return t.unwinding == 0 && (t.idle == 0 || !r.unwound.IsZero())
	}, &unwound)
	for _, l := range g.ledgers {
		for _, c := range l.closers() {
			_ = c.Close() // whatever it says, it is over
		}
	}
	for _, l := range g.listeners {
		_ = l.Close()
	}
	for _, j := range g.jobs {
		j.closeAll()
	}
}

// await waits for what the policy says, and cuts what may be cut. It reports
// false if the deadline came first.
func (r *run) await(g *group) bool {
	policy := r.plan.policy
	held := func() bool {
		t := g.tally(policy)
		return policy == WaitTime || t.critical+t.idle > 0 || r.plan.roll && t.expendable > 0
	}
	for {
		if !r.until(func() bool { return !held() }, &r.deadline) {
			// What is left after the whole time is nothing, or is cut.
			t := g.tally(policy)
			return t.critical+t.expendable+t.idle == 0
		}
		if g.tally(policy).expendable == 0 {
			return true
		}
		grace := time.Now().Add(r.plan.expendable)
		changed := func() bool { return held() || g.tally(policy).expendable == 0 }
		if !r.until(changed, &grace, &r.deadline) {
			break
		}
	}
	spared := 0
	for _, l := range g.ledgers {
		spared += l.cancel(cutSpared, func(op *Operation) bool { return policy.settles(op.class) == ClassExpendable })
	}
	r.log.Info("cut expendable operations", "operations", spared)
	return true
}

// cutFrom cuts a group, and those after it: their time is over too.
func (r *run) cutFrom(i int) {
	for _, g := range r.groups[i:] {
		for _, l := range g.ledgers {
			l.cancel(cutLate, func(*Operation) bool { return true })
		}
	}
	if r.unwound.IsZero() {
		r.unwound = time.Now().Add(r.plan.unwind)
	}
}

func (g *group) closed() bool {
	for _, l := range g.listeners {
		if !l.isDone() {
			return false
		}
	}
	return true
}

func (g *group) tally(p Policy) tally {
	var sum tally
	for _, l := range g.ledgers {
		t := l.tally(p)
		sum.critical += t.critical
		sum.expendable += t.expendable
		sum.unwinding += t.unwinding
		sum.idle += t.idle
		sum.served += t.served
		sum.finished += t.finished
	}
	return sum
}

// closedNames returns the listeners that are closed now, with the first group
// those that no server has taken.
func (r *run) closedNames(i int) []string {
	var names []string
	for _, l := range r.groups[i].listeners {
		names = append(names, l.name)
	}
	if i == 0 {
		for _, l := range r.in.listeners {
			if !l.used {
				_ = l.Close()
				names = append(names, l.name)
			}
		}
	}
	return names
}

// verdict returns what was cut. What was spared is part of it only beside what
// was not.
func (r *run) verdict(gate string) *CutError {
	var e CutError
	critical := false
	for _, g := range r.groups {
		for _, l := range g.ledgers {
			for _, v := range l.list(r.plan.policy, true) {
				if v.cut == cutSpared {
					continue
				}
				critical = critical || v.Class == ClassCritical
				e.Operations = append(e.Operations, v.CutOperation)
			}
		}
	}
	if gate != "" {
		critical = true
		e.Operations = append(e.Operations, CutOperation{Name: "gate", Route: gate, Class: ClassCritical, Age: r.gateAge()})
	}
	if !critical {
		return nil
	}
	return &e
}

// report says that all is done, and waits for the supervisor if that wants to
// ask a gate of its own first.
func (r *run) report(cut *CutError) {
	finished := 0
	for _, g := range r.groups {
		finished += g.tally(r.plan.policy).finished
	}
	if r.link == nil {
		n := 0
		if cut != nil {
			n = len(cut.Operations)
		}
		r.log.Info("drained", "finished", finished, "cut", n)
		return
	}
	r.link.drained(finished, r.mover.count(), cut)
	if r.plan.hold {
		r.until(func() bool { return r.quit || !r.plan.hold }, &r.deadline)
	}
}

// onExit runs the last hook.
func (r *run) onExit() {
	f := r.worker.OnExit
	if f == nil {
		return
	}
	limit := time.Now().Add(r.plan.unwind)
	if r.deadline.After(limit) {
		limit = r.deadline
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(ErrCut)
	done := make(chan struct{})
	go func() {
		defer poke(r.wake)
		defer close(done)
		r.protect("OnExit", func() { f(ctx) })
	}()
	if !r.until(func() bool { return isClosed(done) }, &limit) {
		r.log.Error("hook has not returned", "hook", "OnExit")
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// result joins the two things that can have gone wrong.
func (r *run) result(cut *CutError) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case cut == nil:
		return r.failure
	case r.failure == nil:
		return cut
	}
	return errors.Join(r.failure, cut)
}

// logWaiting says what the drain waits for.
func (r *run) logWaiting(level slog.Level) {
	var oldest *view
	count := 0
	for _, g := range r.groups {
		for _, l := range g.ledgers {
			views := l.list(r.plan.policy, false)
			count += len(views)
			if len(views) > 0 && (oldest == nil || views[0].started.Before(oldest.started)) {
				oldest = &views[0]
			}
		}
	}
	attrs := []any{"operations", count, "left", time.Until(r.deadline).Round(time.Millisecond)}
	if oldest != nil {
		attrs = append(attrs, "oldest", oldest.String())
	}
	r.log.Log(context.Background(), level, "still draining", attrs...)
}
