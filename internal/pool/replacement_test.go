package pool

import "slices"

// The invariants of what ends because another takes its place, or may not end
// because another needs it.

// helpersLast: what others need may be asked only if one more of it is there,
// or if it has ended by itself.
func helpersLast(w *world, a Action) {
	p := w.asks(a)
	if p == nil || p.exited {
		return
	}
	for _, o := range w.alive {
		if o != p && o.id.Program == p.id.Program && !o.leaving() && !o.ending {
			return
		}
	}
	for _, user := range w.pool.program(p.id.Program).dependants {
		if w.lives(user.Name) {
			w.fail("no helper is asked to stop while a dependant lives, whoever asks", "%s is asked, and %s lives", p.id, user.Name)
		}
	}
}

// replaces returns the ready life that is asked to end for no other reason
// than that another takes its place.
func (w *world) replaces(a Action) *process {
	p := w.asks(a)
	if p == nil || p.was != LifeReady || p.exited || w.stopping() {
		return nil
	}
	pr := w.pool.program(p.id.Program)
	if pr.held || p.id.Slot >= pr.wanted || pr.slots[p.id.Slot].stopped {
		return nil
	}
	return p
}

func successorFirst(w *world, a Action) {
	if p := w.replaces(a); p != nil && w.program(p.id).MaxSurge > 0 && !w.serves(p.id.Program, p.id.Slot) {
		w.fail("a ready life is replaced only when its successor is ready", "%s is asked to end, and nobody else is ready", p.id)
	}
}

func maxDraining(w *world, a Action) {
	p := w.replaces(a)
	if p == nil {
		return
	}
	pr := w.pool.program(p.id.Program)
	if pr.MaxSurge > 0 && !slices.ContainsFunc(w.alive, func(o *process) bool {
		return o.id.Worker() == p.id.Worker() && o.id.Life > p.id.Life && o.state == LifeReady
	}) {
		return // the new life of a roll that failed: the old one has never ceased to serve
	}
	p.replaced = true
	most, n := pr.maxDraining(), 0
	if pr.MaxSurge == 0 {
		most = 1
	}
	for _, o := range w.alive {
		if o.replaced && o.id.Program == p.id.Program && o.state != LifeStuck && !o.ending {
			n++
		}
	}
	if n > most {
		w.fail("never more than max_draining replaced lives drain", "%d of %s, with max_draining %d", n, pr.Name, pr.MaxDraining)
	}
}

func surge(w *world, _ *entry) {
	for _, pr := range w.pool.programs {
		n := 0
		for _, p := range w.alive {
			if p.id.Program == pr.Name && !p.leaving() {
				n++
			}
		}
		if n > pr.wanted+pr.MaxSurge {
			w.fail("never more than max_surge lives above the number of workers", "%s has %d for %d workers", pr.Name, n, pr.wanted)
		}
	}
}

func stopFirst(w *world, a Action) {
	s, ok := a.(Spawn)
	if !ok || w.program(s.ID).MaxSurge > 0 {
		return
	}
	for _, p := range w.alive {
		if p.id.Worker() == s.ID.Worker() && p.state != LifeStuck && !p.ending {
			w.fail("where max_surge is 0 the old life ends before the new one starts", "%s starts beside %s", s.ID, p.id)
		}
	}
}

func (w *world) rolls(pr *program) bool {
	return len(w.pool.rolls) > 0 && w.pool.rolls[0].began && w.pool.rolls[0].program == pr
}

func transaction(w *world, e *entry) {
	for _, pr := range w.pool.programs {
		ended := slices.ContainsFunc(e.actions, func(a Action) bool { r, ok := a.(Rolled); return ok && r.Program == pr.Name })
		// The core gives up a roll half done when the operator stops what it
		// needs: nothing of the old generation could start.
		alike := !slices.ContainsFunc(pr.slots[:pr.wanted], func(s *slot) bool {
			return s.generation != pr.generation || s.current() != nil && s.current().generation != pr.generation
		})
		w.givenUp[pr.Name] = !alike && (w.givenUp[pr.Name] || !ended && !pr.held && w.rolling[pr.Name] != pr.generation && !w.rolls(pr))
		if w.givenUp[pr.Name] || w.rolls(pr) || w.stopping() || w.finished {
			continue
		}
		for _, s := range pr.slots[:pr.wanted] {
			if s.generation != pr.slots[0].generation {
				w.fail("a roll ends with all slots on the new generation, or all on the old", "%s.%d is of %d, and %s.0 of %d",
					pr.Name, s.n, s.generation, pr.Name, pr.slots[0].generation)
			}
		}
		for _, p := range w.alive {
			// What is held ends in its turn; one whose successor has ended on the
			// way back serves on.
			kept := pr.held || w.lastEnd[p.id.Worker()] > p.id.Life
			if p.id.Program == pr.Name && !p.leaving() && !kept && p.generation != pr.slots[p.id.Slot].generation {
				w.fail("a roll ends with all slots on the new generation, or all on the old", "%s is of %d, its slot of %d",
					p.id, p.generation, pr.slots[p.id.Slot].generation)
			}
		}
	}
}

func allReplaced(w *world, a Action) {
	r, ok := a.(Reply)
	restart, isRestart := w.restarts[r.Token]
	if !ok || !isRestart || r.Verdict.Outcome >= RolledBack {
		return
	}
	for _, p := range w.alive {
		pr := w.program(p.id)
		covered := restart.program == pr.Name && (restart.slot < 0 || restart.slot == p.id.Slot) || restart.program == "" && len(pr.Listeners) > 0
		if covered && !p.leaving() && p.id.Life <= restart.spawned {
			w.fail("a restart that is done has replaced every life there was", "%s, and %s serves on", render(a), p.id)
		}
	}
}

// deathsCount: a death that is not counted would be followed by another life
// at once, without any budget.
func deathsCount(w *world, e *entry) {
	for _, a := range e.actions {
		if r, ok := a.(Rolled); ok {
			w.uncounted[r.Program] = 0
		}
	}
	p := w.crash
	w.crash = nil
	if p == nil || w.stopping() || w.before == Starting {
		return
	}
	pr := w.pool.program(p.id.Program)
	slot := pr.slots[p.id.Slot]
	counted := slices.ContainsFunc(e.actions, func(a Action) bool {
		b, waits := a.(Backoff)
		g, gave := a.(GaveUp)
		return waits && b.Program == pr.Name && b.Slot == slot.n || gave && g.Program == pr.Name && g.Slot == slot.n
	})
	other := slices.ContainsFunc(w.alive, func(o *process) bool {
		return o.id.Worker() == p.id.Worker() && !slices.ContainsFunc(e.actions, func(a Action) bool { s, ok := a.(Spawn); return ok && s.ID == o.id })
	})
	if counted || other || pr.held || slot.stopped || slot.n >= pr.wanted {
		return
	}
	if w.uncounted[pr.Name]++; w.uncounted[pr.Name] > 1 {
		w.fail("every death that nobody asked for counts, but the one that fails a roll", "that of %s does not", p.id)
	}
}
