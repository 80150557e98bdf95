package pool

import "slices"

// lame tells whether the program is to serve on although all is stopping, as far
// as the world knows.
func (w *world) lame(program string) bool {
	set := w.sets[program].after
	if set.LameDuck == 0 || w.hurryAll || !w.serves(program, -1) {
		return false
	}
	began, known := w.lameSince[program]
	if known && !w.now.Before(began.Add(set.LameDuck)) {
		return false
	}
	return slices.ContainsFunc(w.alive, func(p *process) bool {
		return p.id.Program == program && p.state == LifeReady && !p.quiet
	})
}

func lameFirst(w *world, a Action) {
	const rule = "on a stop a program is a lame duck for its time, or until all is quiet, before its listeners close"
	switch a := a.(type) {
	case Lame:
		p := w.process(a.ID)
		if p == nil || !w.stopping() || p.state != LifeReady || !p.hello || p.lame || !w.lame(a.ID.Program) || w.dependant(a.ID.Program) != nil {
			w.fail(rule, "%s", render(a))
		}
	case Quiesce:
		for _, pr := range w.pool.programs {
			if w.stopping() && slices.Contains(pr.Listeners, a.Listener) && w.lame(pr.Name) {
				w.fail(rule, "%s, and %s is a lame duck", render(a), pr.Name)
			}
		}
	}
}

// lameBegins notes from when on a program is a lame duck.
func lameBegins(w *world, _ *entry) {
	for _, pr := range w.pool.programs {
		_, known := w.lameSince[pr.Name]
		if w.stopping() && !known && w.dependant(pr.Name) == nil && w.lame(pr.Name) {
			w.lameSince[pr.Name] = w.now
		}
	}
}
