package pool

import "slices"

// The invariants of what policies, ages and watchdogs do.

// notByPolicy: only who starts it, rolls it or changes its program brings back a
// slot that needs no life any more, or must not get one.
func notByPolicy(w *world, a Action) {
	const rule = "a slot that has ended or failed gets no life until it is started or rolled"
	s, ok := a.(Spawn)
	if !ok {
		return
	}
	pr, _ := w.core(s.ID)
	if w.over[s.ID.Worker()] && !w.rolls(pr) {
		w.fail(rule, "%s starts", s.ID)
	}
	delete(w.over, s.ID.Worker())
}

// byThePolicy says what must follow the end of a life that nobody asked for.
func byThePolicy(w *world, a Action) {
	p := w.crash
	if p == nil {
		return
	}
	well := p.drained || p.exit == Exit{} && !p.killed
	forbids := p.exit.Code == DoNotRestart && !p.drained
	ok := w.sets[p.id.Program].either(func(set Program) bool {
		ends := forbids || set.Restart == Never || set.Restart == OnFailure && well
		switch a := a.(type) {
		case Ended:
			return workerOf(a) != p.id.Worker() || ends && a.Failed == (forbids || !well)
		case Backoff, GaveUp:
			return workerOf(a) != p.id.Worker() || !ends
		}
		return true
	})
	if !ok {
		w.fail("what follows an end that nobody asked for is what the restart policy says", "%s, after %s", render(a), p.exit)
	}
}

// successor returns the youngest ready life that is to take the place of p.
func (w *world) successor(p *process) *process {
	for _, o := range slices.Backward(w.alive) {
		if o.id.Worker() == p.id.Worker() && o.id.Life > p.id.Life && o.state == LifeReady && !o.ending {
			return o
		}
	}
	return nil
}

func provenFirst(w *world, a Action) {
	p := w.replaces(a)
	if p == nil {
		return
	}
	if o := w.successor(p); o != nil && o.proven.After(w.now) {
		w.fail("a new life has been ready for min_uptime before its predecessor is asked", "%s is asked, and %s is %v short of it", p.id, o.id, o.proven.Sub(w.now))
	}
}

// recycledForCause: a life is worn if it or the shell says so, old at its age,
// and silent when its own watchdog has lost patience.
func recycledForCause(w *world, a Action) {
	r, ok := a.(Recycling)
	p := w.process(idOf(a))
	if !ok || p == nil {
		return
	}
	old := !p.old.IsZero() && !p.old.After(w.now)
	if !p.worn && !old && !w.mute(p) && !p.hung {
		w.fail("a life is replaced only when it is worn, old or silent", "%s", render(r))
	}
	if p.state != LifeReady || w.before == Stopping {
		w.fail("a life is replaced only when it is worn, old or silent", "%s, which is %s", render(r), p.state)
	}
	p.recycled, p.worn = true, true
}

// mute tells whether the life's watchdog loses patience in this step.
func (w *world) mute(p *process) bool { return !p.silent.IsZero() && !p.silent.After(w.now) }

// recycledInTime: but a life that others need, or that ends anyway, or whose
// successor has failed to come up at that very moment.
func recycledInTime(w *world, e *entry) {
	for _, p := range w.alive {
		old := !p.retire.IsZero() && !p.retire.After(w.now) && w.seen.Before(p.retire)
		pr, s := w.core(p.id)
		tried := w.rolls(pr) && w.pool.rolls[0].back || slices.ContainsFunc(e.actions, func(a Action) bool {
			r, ok := a.(Rolled)
			return ok && r.Program == pr.Name && r.Verdict.Outcome == RolledBack
		})
		if !tried && p.state == LifeReady && (old || w.mute(p)) && !p.recycled && !w.stopping() && !pr.removed && pr.inUse() == nil && !s.stopped {
			w.fail("a life that is old enough, or silent, is to be replaced", "%s is not", p.id)
		}
	}
}

func hungIsAborted(w *world, a Action) {
	const rule = "a life that gives no sign is aborted, and no other"
	p := w.process(idOf(a))
	if p == nil {
		return
	}
	switch a.(type) {
	case Abort:
		if !p.hung && !w.mute(p) || p.aborted || p.told || p.was != LifeReady {
			w.fail(rule, "%s", render(a))
		}
		// A silent life goes on until its successor serves, unless others need
		// it: then there can be none.
		if w.replaced(p) && !w.serves(p.id.Program, p.id.Slot) && w.program(p.id).MaxSurge > 0 && !w.needed(p) {
			w.fail("a ready life is replaced only when its successor is ready", "%s, and nobody takes its place", render(a))
		}
	case Ask, AskGate, RunStopCommand, Close, Signal:
		if p.hung && p.was == LifeReady && !p.told && !p.itself && !p.exited {
			w.fail(rule, "%s, which gives none", render(a))
		}
	}
}

// replaced tells whether there is no other reason for the life to end but that
// another takes its place. One that was on its way out when its program came
// back has that reason.
func (w *world) replaced(p *process) bool {
	pr, s := w.core(p.id)
	out := slices.ContainsFunc(p.listens, func(name string) bool { return w.listener[name].quiescing })
	return !out && !w.stopping() && !pr.held && !pr.removed && p.id.Slot < pr.wanted && !s.stopped
}
