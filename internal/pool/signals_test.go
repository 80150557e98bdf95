package pool

import (
	"slices"
	"time"
)

// The invariants of two-step stops, of lists of signals, and of what a life says
// of itself.

// arm notes when the next signal of a life comes.
func (p *process) arm(w *world) {
	p.escalate = time.Time{}
	if steps := w.program(p.id).StopSteps; p.sent < len(steps) {
		p.escalate = w.now.Add(steps[p.sent].After)
	}
}

// says notes what a life says of itself that has a consequence.
func (p *process) says(w *world, e Event) {
	set := w.program(p.id)
	switch e := e.(type) {
	case Hung:
		if p.state == LifeReady {
			p.hung, p.silent = true, time.Time{}
		}
	case Watch:
		p.watch, p.ownWatch, p.silent = e.Every, true, time.Time{}
		if p.state == LifeReady && e.Every > 0 {
			p.silent = w.now.Add(e.Every)
		}
	case Busy:
		p.busy = e.Is
	case Ending:
		if !p.hello && !p.leaving() {
			p.itself, p.due, p.latest = true, w.now.Add(set.DrainTimeout), w.now.Add(max(set.DrainMax, set.DrainTimeout))
		}
	case Extend:
		until := w.now.Add(e.By)
		if p.state == LifeDraining && until.After(p.latest) {
			until = p.latest
		}
		for _, d := range []*time.Time{&p.due, &p.escalate} {
			if (p.state == LifeStarting || p.state == LifeDraining) && !d.IsZero() && until.After(*d) {
				*d = until
			}
		}
	}
}

// signalsInTurn: but who wants no waiting sends the last at once.
func signalsInTurn(w *world, a Action) {
	s, ok := a.(Signal)
	p := w.process(idOf(a))
	if !ok || p == nil {
		return
	}
	steps := w.program(p.id).StopSteps
	_, died := w.story[len(w.story)-1].event.(Exited)
	last := 15
	if len(steps) > 0 {
		last = steps[len(steps)-1].Signal
	}
	switch {
	case w.hurry && s.Signal == last:
	case s.Signal == 15 && (!p.signal || !p.told || died):
	case p.signal && p.sent < len(steps) && s.Signal == steps[p.sent].Signal && !p.escalate.After(w.now):
	default:
		w.fail("each stop signal comes when it is its turn", "%s, after %d, %v early", render(a), p.sent, p.escalate.Sub(w.now))
	}
}

func signalsInTime(w *world, _ *entry) {
	for _, p := range w.alive {
		if !p.escalate.IsZero() && !p.escalate.After(w.now) && !w.finished {
			w.fail("each stop signal comes when it is its turn", "that of %s after %d does not", p.id, p.sent)
		}
	}
}

// closeFirst: a life that is asked in two steps has the second when it has no
// work, and has had a moment to say so; or when its time is over.
func closeFirst(w *world, a Action) {
	const rule = "who is asked in two steps has its close signal first, and is waited for"
	p := w.process(idOf(a))
	if p == nil || w.hurry || p.exited {
		return
	}
	switch a.(type) {
	case AskGate, RunStopCommand, Signal:
		must := w.sets[p.id.Program].both(func(set Program) bool { return set.CloseSignal })
		early := p.busy && !p.opened || p.settled.After(w.now)
		switch {
		case p.hello || p.was != LifeReady || p.command || p.signal:
		case !p.closing && !p.told && must:
			w.fail(rule, "%s, without it", render(a))
		case p.closing && early && p.due.After(w.now):
			w.fail(rule, "%s, %v early; busy: %v", render(a), p.due.Sub(w.now), p.busy)
		}
	}
}

func closeGoesOn(w *world, _ *entry) {
	for _, p := range w.alive {
		waits := p.closing && p.state == LifeDraining && !p.atGate && !p.command && !p.signal
		if waits && !p.busy && !p.settled.After(w.now) && !w.finished {
			w.fail("who is asked in two steps has its close signal first, and is waited for", "%s has no work, and is forgotten", p.id)
		}
	}
}

// leftAlone: who ends by itself is asked by nobody but who wants no waiting.
func leftAlone(w *world, a Action) {
	p := w.process(idOf(a))
	if p == nil || !p.itself || w.hurry || p.exited {
		return
	}
	if slices.Contains([]string{"ask", "ask_gate", "close_signal", "signal", "run_stop_command"}, verb(a)) {
		w.fail("who ends by itself is left alone, and serves nobody", "%s", render(a))
	}
}

func endsSoon(w *world, _ *entry) {
	for _, p := range w.alive {
		if p.itself && !p.leaving() {
			w.fail("who ends by itself is left alone, and serves nobody", "%s is %s", p.id, p.state)
		}
	}
}

func verb(a Action) string {
	switch a.(type) {
	case Ask:
		return "ask"
	case AskGate:
		return "ask_gate"
	case Close:
		return "close_signal"
	case Signal:
		return "signal"
	case RunStopCommand:
		return "run_stop_command"
	}
	return ""
}
