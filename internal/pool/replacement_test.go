package pool

import "slices"

// The invariants of what ends because another takes its place, or may not end
// because another needs it.

// helpersLast: what others need may be asked only if one more of it is there,
// or if it has ended by itself. What a reload makes something else of before it
// has served, nobody has needed yet.
func helpersLast(w *world, a Action) {
	p := w.asks(a)
	if p == nil || p.exited {
		return
	}
	if !p.saidReady && !w.stopping() {
		return // a new life, of a roll that fails or that a reload has overtaken: nobody had it
	}
	for _, o := range w.alive {
		if o != p && o.id.Program == p.id.Program && !o.leaving() && !o.ending {
			return
		}
	}
	if d := w.dependant(p.id.Program); d != nil && slices.Contains(d.needs, p.id.Program) { // else it has done without
		w.fail("no helper is asked to stop while a dependant lives, whoever asks", "%s is asked, and %s lives", p.id, d.id)
	}
}

// replaces returns the ready life that is asked to end for no other reason
// than that another takes its place.
func (w *world) replaces(a Action) *process {
	p := w.asks(a)
	if p == nil || p.was != LifeReady || p.exited || !w.replaced(p) {
		return nil
	}
	return p
}

func successorFirst(w *world, a Action) {
	surges := func(set Program) bool { return set.MaxSurge > 0 }
	if p := w.replaces(a); p != nil && w.sets[p.id.Program].both(surges) && !w.serves(p.id.Program, p.id.Slot) {
		w.fail("a ready life is replaced only when its successor is ready", "%s is asked to end, and nobody else is ready", p.id)
	}
}

func maxDraining(w *world, a Action) {
	p := w.replaces(a)
	if p == nil {
		return
	}
	pr, _ := w.core(p.id)
	if pr.MaxSurge > 0 && !slices.ContainsFunc(w.alive, func(o *process) bool {
		return o.id.Worker() == p.id.Worker() && o.id.Life > p.id.Life && o.state == LifeReady
	}) {
		return // the new life of a roll that failed: the old one has never ceased to serve
	}
	p.replaced = true
	most, n := pr.maxDraining(), 0
	if pr.MaxSurge == 0 && w.successor(p) == nil { // else a reload has changed it since that started
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

func surge(w *world, e *entry) {
	for _, pr := range w.pool.programs {
		n, started := 0, false
		for _, p := range w.alive {
			if p.id.Program == pr.Name && !p.leaving() {
				n++
				started = started || slices.ContainsFunc(e.actions, func(a Action) bool { s, ok := a.(Spawn); return ok && s.ID == p.id })
			}
		}
		if n > pr.wanted+w.sets[pr.Name].surge && started {
			w.fail("never more than max_surge lives above the number of workers", "%s has %d for %d workers", pr.Name, n, pr.wanted)
		}
	}
}

func stopFirst(w *world, a Action) {
	s, ok := a.(Spawn)
	if !ok || w.sets[s.ID.Program].either(func(set Program) bool { return set.MaxSurge > 0 }) {
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

func transaction(w *world, _ *entry) {
	for _, pr := range w.pool.programs {
		if w.rolls(pr) || pr.removed || w.halved[pr.Name] || w.stopping() || w.finished {
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
		covered := slices.Contains(restart.programs, p.id.Program) && (restart.slot < 0 || restart.slot == p.id.Slot)
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
	pr, slot := w.core(p.id)
	counted := slices.ContainsFunc(e.actions, func(a Action) bool {
		b, waits := a.(Backoff)
		return waits && b.Program == pr.Name && b.Slot == slot.n || workerOf(a) == p.id.Worker()
	})
	other := slices.ContainsFunc(w.alive, func(o *process) bool {
		return o.id.Worker() == p.id.Worker() && !slices.ContainsFunc(e.actions, func(a Action) bool { s, ok := a.(Spawn); return ok && s.ID == o.id })
	})
	if counted || other || pr.held || pr.removed || pr.Name == "" || slot.stopped || slot.n >= pr.wanted {
		return
	}
	if w.uncounted[pr.Name]++; w.uncounted[pr.Name] > 1 {
		w.fail("every death that nobody asked for counts, but the one that fails a roll", "that of %s does not", p.id)
	}
}
