package pool

import (
	"reflect"
	"slices"
	"time"
)

// An invariant is one thing that must always be true. each looks at an action
// before the world believes it, after at the whole step.
type invariant struct {
	rule  string
	each  func(w *world, a Action)
	after func(w *world, e *entry)
}

// invariants returns all of them. Three more are checked by end, since they
// are about what can still happen: a stop finishes within the sum of its
// deadlines, at rest all that is wanted serves, every command has its reply.
func invariants() []invariant {
	return []invariant{
		{rule: "no action names a life whose end was reported", each: aboutTheLiving},
		{rule: "the number of a life is new, and greater than all before", each: newNumber},
		{rule: "a life goes from state to state as the diagram says", each: byTheDiagram},
		{rule: "no KILL before that life's own deadline", each: notKilledEarly},
		{rule: "no deadline of a life is missed", after: noneLate},
		{rule: "no start once stopping", each: noStartOnceStopping},
		{rule: "nothing starts before what it depends on serves", each: startOrder},
		{rule: "no slot starts before its backoff has passed, and no later", each: backoff, after: backoffEnds},
		{rule: "no helper is asked to stop while a dependant lives, whoever asks", each: helpersLast},
		{rule: "a ready life is replaced only when its successor is ready", each: successorFirst},
		{rule: "never more than max_surge lives above the number of workers", after: surge},
		{rule: "where max_surge is 0 the old life ends before the new one starts", each: stopFirst},
		{rule: "never more than max_draining replaced lives drain", each: maxDraining},
		{rule: "a roll ends with all slots on the new generation, or all on the old", after: transaction},
		{rule: "a slot that has ended or failed gets no life until it is started or rolled", each: notByPolicy},
		{rule: "what follows an end that nobody asked for is what the restart policy says", each: byThePolicy},
		{rule: "a new life has been ready for min_uptime before its predecessor is asked", each: provenFirst},
		{rule: "a life is replaced only when it is worn, old or silent", each: recycledForCause},
		{rule: "a life that is old enough, or silent, is to be replaced", after: recycledInTime},
		{rule: "a life that gives no sign is aborted, and no other", each: hungIsAborted},
		{rule: "a program that is removed is forgotten when it is gone, and not before", each: removedWhenGone, after: forgotten},
		{rule: "after a failed roll the program is what it was, settings too", after: asBefore},
		{rule: "a reload that is done is in force", each: inForce},
		{rule: "a life is asked to end in the way it understands, once", each: askedWell},
		{rule: "introduced is who drains for a roll to who serves and stays", each: introducedWell},
		{rule: "whoever can move is introduced to all that can take, once, and again when it has lost one", after: allIntroduced},
		{rule: "a drain waits for peers if some are there or come up, and only then", each: movedToSomebody},
		{rule: "each stop signal comes when it is its turn", each: signalsInTurn, after: signalsInTime},
		{rule: "who is asked in two steps has its close signal first, and is waited for", each: closeFirst, after: closeGoesOn},
		{rule: "who ends by itself is left alone, and serves nobody", each: leftAlone, after: endsSoon},
		{rule: "a life at its gate is let go when the gate opens or its deadline passes", each: gateFirst},
		{rule: "a listener is quiesced when its last user ends, and closed when nobody holds it", each: listenerLast, after: closedAtOnce},
		{rule: "on a stop whom nobody needs is asked as soon as its queue is empty, or serves nobody", after: askedInTime},
		{rule: "on a stop a program is a lame duck for its time, or until all is quiet, before its listeners close", each: lameFirst, after: lameBegins},
		{rule: "stop --now waits for nobody's work", after: nowIsNow},
		{rule: "who has drained and holds is at its gate, or is let go", after: noneForgotten},
		{rule: "a restart that is done has replaced every life there was", each: allReplaced},
		{rule: "every death that nobody asked for counts, but the one that fails a roll", after: deathsCount},
		{rule: "nobody who serves is asked to end while its queue empties", each: queueFirst},
		{rule: "nothing claims to be up that is not", each: reallyUp},
		{rule: "no command gets a second reply", each: oneReply},
		{rule: "the final verdict is no better and no worse than what happened", each: verdictIsTrue},
		{rule: "nothing follows the end, and nothing lives then", each: endIsTheEnd},
		{rule: "an impossible event is recorded and changes nothing", after: nonsenseIgnored},
		{rule: "after a step no deadline is in the past", after: deadlineAhead},
		{rule: "the same events give the same actions", after: twin},
		{rule: "after a step nothing is left to do until something happens", after: settled},
	}
}

// order tells whether an action is one that a process feels.
func order(a Action) bool {
	switch a.(type) {
	case Ask, AskGate, RunStopCommand, Close, Signal, Cut, Quit, Abort, Kill:
		return true
	}
	return false
}

// asks returns the life that an action is the first to ask to end.
func (w *world) asks(a Action) *process {
	switch a.(type) {
	case Ask, AskGate, RunStopCommand, Close, Signal:
		if p := w.process(idOf(a)); p != nil && !p.told {
			return p
		}
	}
	return nil
}

func aboutTheLiving(w *world, a Action) {
	if p := w.process(idOf(a)); order(a) && (p == nil || p.ending) {
		w.fail("no action names a life whose end was reported", "%s", render(a))
	}
}

func newNumber(w *world, a Action) {
	if s, ok := a.(Spawn); ok && s.ID.Life <= w.spawned {
		w.fail("the number of a life is new, and greater than all before", "%s after %d", s.ID, w.spawned)
	}
}

func byTheDiagram(w *world, a Action) {
	b, ok := a.(Became)
	if !ok {
		return
	}
	const rule = "a life goes from state to state as the diagram says"
	p := w.process(b.ID)
	if p == nil {
		w.fail(rule, "%s, which does not live, is %s", b.ID, b.State)
		return
	}
	next := map[State][]State{
		LifeStarting: {LifeReady, LifeDraining, LifeCutting},
		LifeReady:    {LifeDraining, LifeCutting}, // aborted
		LifeDraining: {LifeCutting},
		LifeCutting:  {LifeStuck},
	}[p.state]
	if b.State == LifeGone && p.ending || slices.Contains(next, b.State) && !p.ending {
		return
	}
	w.fail(rule, "%s goes from %s to %s", b.ID, p.state, b.State)
}

func notKilledEarly(w *world, a Action) {
	p := w.process(idOf(a))
	if _, ok := a.(Kill); !ok || p == nil {
		return
	}
	switch {
	case p.killed:
		w.fail("no KILL before that life's own deadline", "%s is killed twice", p.id)
	case p.due.IsZero() || p.due.After(w.now):
		w.fail("no KILL before that life's own deadline", "%s is killed %v early", p.id, p.due.Sub(w.now))
	}
}

func noneLate(w *world, _ *entry) {
	for _, p := range w.alive {
		if !p.due.IsZero() && !p.due.After(w.now) && !w.finished {
			w.fail("no deadline of a life is missed", "%s, %s, is %v over its own", p.id, p.state, w.now.Sub(p.due))
		}
		if p.ending {
			w.fail("no deadline of a life is missed", "the end of %s was not noticed", p.id)
		}
	}
}

func noStartOnceStopping(w *world, a Action) {
	s, ok := a.(Spawn)
	last := w.story[len(w.story)-1].event
	if stop, now := last.(Stop); ok && (w.before == Stopping || now && stop.Program == "") {
		w.fail("no start once stopping", "%s starts", s.ID)
	}
}

func startOrder(w *world, a Action) {
	s, ok := a.(Spawn)
	if !ok {
		return
	}
	away := func(need string) bool { return !w.serves(need, -1) || !w.up[need] }
	if w.sets[s.ID.Program].both(func(set Program) bool { return slices.ContainsFunc(set.DependsOn, away) }) {
		w.fail("nothing starts before what it depends on serves", "%s starts, and not all of %v serves", s.ID, w.program(s.ID).DependsOn)
	}
}

// reallyUp: somebody serves, or has done his work. One who has failed was never
// up.
func reallyUp(w *world, a Action) {
	const rule = "nothing claims to be up that is not"
	switch a := a.(type) {
	case Up:
		pr := w.pool.program(a.Program)
		ended := pr != nil && slices.ContainsFunc(pr.slots, func(s *slot) bool { return s.ended })
		if !w.serves(a.Program, -1) && !ended {
			w.fail(rule, "%s", render(a))
		}
	case AllUp:
		for _, p := range w.loaded.Programs {
			if !w.up[p.Name] {
				w.fail(rule, "%s, and %s was never", render(a), p.Name)
			}
		}
	}
}

// backoff: doubling from a tenth of a second to half a minute, up to half of
// it taken off; then the slot has used up its budget.
func backoff(w *world, a Action) {
	const rule = "no slot starts before its backoff has passed, and no later"
	switch a := a.(type) {
	case Backoff:
		before, window := w.backoff[ID{Program: a.Program, Slot: a.Slot}.Worker()], w.program(ID{Program: a.Program}).RestartWindow
		if before != nil && w.crash != nil && w.crash.id.Program == a.Program && w.crash.id.Slot == a.Slot && w.crash.was == LifeReady && w.now.Sub(w.crash.up) >= window && a.Crashes > 1 {
			w.fail(rule, "%s.%d was up for %v, and its crashes are not forgotten", a.Program, a.Slot, w.now.Sub(w.crash.up))
		}
		most := time.Duration(0)
		if a.Crashes > 1 {
			most = min(30*time.Second, 100*time.Millisecond<<(a.Crashes-2))
		}
		if _, s := w.core(ID{Program: a.Program, Slot: a.Slot}); s.stopped {
			w.fail(rule, "%s.%d waits, and the operator has stopped it", a.Program, a.Slot)
		}
		if a.Delay > most || a.Delay < most/2 || a.Crashes < 1 || a.Crashes > w.program(ID{Program: a.Program}).MaxRestarts {
			w.fail(rule, "%s.%d waits %v after crash %d", a.Program, a.Slot, a.Delay, a.Crashes)
		}
	case Spawn:
		pr, _ := w.core(a.ID)
		b := w.backoff[a.ID.Worker()]
		if b != nil && w.now.Before(b.until) && !w.rolls(pr) {
			w.fail(rule, "%s starts %v early", a.ID, b.until.Sub(w.now))
		}
		if b != nil {
			b.until = time.Time{}
		}
	case GaveUp:
		worker := ID{Program: a.Program, Slot: a.Slot}.Worker()
		if b := w.backoff[worker]; b != nil && b.crashes < w.program(ID{Program: a.Program}).MaxRestarts {
			w.fail(rule, "%s gives up after crash %d", worker, b.crashes+1)
		}
		delete(w.backoff, worker)
	}
}

func backoffEnds(w *world, _ *entry) {
	for _, pr := range w.pool.programs {
		for _, s := range pr.slots {
			if !s.retry.IsZero() && !s.retry.After(w.now) && !w.finished {
				w.fail("no slot starts before its backoff has passed, and no later", "%s.%d still waits", pr.Name, s.n)
			}
		}
	}
}

func askedWell(w *world, a Action) {
	const rule = "a life is asked to end in the way it understands, once"
	p := w.process(idOf(a))
	if p == nil {
		return
	}
	turning := w.before != Stopping && w.stopping() // it may have been asked before that
	// A life that hangs is not asked: see hungIsAborted.
	ok := w.sets[p.id.Program].either(func(set Program) bool {
		switch a := a.(type) {
		case Ask:
			first := !p.told && a.Timeout == set.DrainTimeout && a.Hold == set.Gated && (turning || (a.Reason == ForStop) == w.forStop(set))
			// It was signalled before it could hear, and is told what is left of that.
			again := p.signal && !p.asked && !a.Hold && w.now.Add(a.Timeout).Equal(p.due)
			// It drains for a roll, and there is nobody any more to roll to.
			turns := p.asked && !p.drained && p.reason == ForRoll && a.Reason == ForStop && w.forStop(set) && a.Hold == p.hold && w.now.Add(a.Timeout).Equal(p.due)
			return p.hello && !p.exited && (first || again || turns)
		case AskGate:
			return set.Gated && !p.told && !p.hello && w.forStop(set) || p.asked && p.drained && p.hold || set.Gated && p.closing && !p.busy
		case Close:
			return set.CloseSignal && !p.told && !p.hello && !p.exited && p.was == LifeReady
		case RunStopCommand:
			return set.StopCommand && !p.asked && !p.signal && !p.command && !p.exited
		case Signal:
			_, died := w.story[len(w.story)-1].event.(Exited)
			follows := p.signal && p.told && p.sent < len(set.StopSteps)
			return follows || (!p.asked && (!p.signal || !p.told) || died) && (p.command || p.exited || !set.StopCommand || w.hurry)
		case Cut:
			return p.asked && w.hurry
		}
		return true
	})
	if !ok {
		w.fail(rule, "%s", render(a))
	}
}

// forStop tells whether a life of the program that is asked now drains for a
// stop: nobody accepts from its listeners any more.
func (w *world) forStop(p Program) bool {
	for _, name := range p.Listeners {
		if !w.listener[name].quiescing {
			return false
		}
	}
	return len(p.Listeners) > 0 || w.stopping()
}

func gateFirst(w *world, a Action) {
	p := w.process(idOf(a))
	if p == nil || p.opened || w.hurry || p.exited || !p.due.IsZero() && !p.due.After(w.now) {
		return
	}
	const rule = "a life at its gate is let go when the gate opens or its deadline passes"
	switch a.(type) {
	case RunStopCommand, Signal:
		if p.atGate {
			w.fail(rule, "%s, and its gate is asked", render(a))
		}
	case Quit:
		if !p.drained || p.state != LifeCutting && w.program(p.id).Gated {
			w.fail(rule, "%s, and its gate is asked", render(a))
		}
	}
}

func listenerLast(w *world, a Action) {
	const rule = "a listener is quiesced when its last user ends, and closed when nobody holds it"
	switch a := a.(type) {
	case Quiesce:
		if !w.stopping() && w.wanted(a.Listener) || w.listener[a.Listener].quiescing {
			w.fail(rule, "%s", render(a))
		}
		for _, p := range w.alive {
			if d := w.dependant(p.id.Program); d != nil && slices.Contains(p.listens, a.Listener) && p.state != LifeStuck && !p.ending && !p.leaving() {
				w.fail(rule, "%s, and %s, which uses it, still serves %s", render(a), p.id, d.id)
			}
		}
	case CloseListener:
		l := w.listener[a.Listener]
		if !l.quiescing || l.closed {
			w.fail(rule, "%s", render(a))
		}
		for _, p := range w.alive {
			if slices.Contains(p.listens, a.Listener) && !p.lets(a.Listener) {
				w.fail(rule, "%s, and %s holds it", render(a), p.id)
			}
		}
	case Finish:
		for _, l := range w.pool.listeners {
			if !w.listener[l.name].closed {
				w.fail(rule, "the end, and %s is open", l.name)
			}
		}
	}
}

// lets tells whether a life has let go of a listener, or cannot say so and was
// told.
func (p *process) lets(listener string) bool {
	return p.ending || p.drained || slices.Contains(p.closed, listener) || p.killed || p.state == LifeStuck || p.aborted || p.hung && p.state == LifeCutting || (p.told && p.signal || p.closing || p.itself) && (!p.hello || p.exited)
}

func closedAtOnce(w *world, _ *entry) {
	for name, l := range w.listener {
		held := slices.ContainsFunc(w.alive, func(p *process) bool {
			return slices.Contains(p.listens, name) && !p.lets(name)
		})
		if l.quiescing && !l.closed && !held {
			w.fail("a listener is quiesced when its last user ends, and closed when nobody holds it", "nobody holds %s, and it is open", name)
		}
	}
}

func askedInTime(w *world, _ *entry) {
	for _, p := range w.alive {
		pr, _ := w.core(p.id)
		// Who needed it before the roll under way may still be told to go back.
		needed := slices.ContainsFunc(pr.dependants, func(d *program) bool { return w.lives(d.Name) })
		queue := slices.ContainsFunc(w.alive, func(o *process) bool {
			return o.id.Program == p.id.Program && slices.ContainsFunc(slices.Concat(pr.Listeners, o.listens), func(name string) bool {
				l := w.listener[name]
				return l.quiescing && !l.quiet && !l.closed
			})
		})
		if w.stopping() && !p.leaving() && !needed && !w.lame(pr.Name) && (!queue || w.hurryAll || !w.serves(pr.Name, -1)) {
			w.fail("on a stop whom nobody needs is asked as soon as its queue is empty, or serves nobody", "%s is %s", p.id, p.state)
		}
	}
}

func nowIsNow(w *world, e *entry) {
	s, ok := e.event.(Stop)
	refused := slices.ContainsFunc(e.actions, func(a Action) bool {
		r, ok := a.(Reply)
		return ok && r.Token == s.Token && r.Verdict.Outcome >= NoSuch
	})
	if !ok || !s.Now || refused || w.finished {
		return
	}
	for _, p := range w.alive {
		covered := s.Program == p.id.Program && (s.Slot < 0 || s.Slot == p.id.Slot) ||
			s.Program == "" && len(w.pool.program(p.id.Program).dependants) == 0 && p.state != LifeStuck
		if covered && (!p.leaving() || p.state == LifeDraining) {
			w.fail("stop --now waits for nobody's work", "%s is %s", p.id, p.state)
		}
	}
}

func noneForgotten(w *world, e *entry) {
	askedNow := slices.ContainsFunc(e.actions, func(a Action) bool { _, ok := a.(Ask); return ok })
	if d, ok := e.event.(Drained); ok && !askedNow {
		if p := w.process(d.ID); p != nil && p.asked && p.hold && !p.exited && !p.atGate && !p.quit {
			w.fail("who has drained and holds is at its gate, or is let go", "%s is %s", p.id, p.state)
		}
	}
}

func queueFirst(w *world, a Action) {
	p := w.asks(a)
	if p == nil || !w.stopping() || w.hurry || p.exited || p.was != LifeReady {
		return
	}
	if _, s := w.core(p.id); s.stopped {
		return
	}
	for _, name := range p.listens {
		if l := w.listener[name]; l.quiescing && !l.quiet && !l.closed && w.serves(p.id.Program, -1) {
			w.fail("nobody who serves is asked to end while its queue empties", "%s, and %s is not empty", render(a), name)
		}
	}
}

func oneReply(w *world, a Action) {
	if r, ok := a.(Reply); ok && (w.replies[r.Token] > 0 || r.Token < 1 || r.Token > w.tokens) {
		w.fail("no command gets a second reply", "%s", render(a))
	}
}

func verdictIsTrue(w *world, a Action) {
	f, ok := a.(Finish)
	if !ok {
		return
	}
	got := f.Verdict.Outcome
	if w.died && got < Died || w.wasCut && got < WasCut || got == Died && !w.died && !w.mayHave {
		w.fail("the final verdict is no better and no worse than what happened", "%s; died %v, cut %v", render(a), w.died, w.wasCut)
	}
}

func endIsTheEnd(w *world, a Action) {
	const rule = "nothing follows the end, and nothing lives then"
	if w.finished {
		w.fail(rule, "%s", render(a))
	}
	if _, ok := a.(Finish); ok {
		for _, p := range w.alive {
			if p.state != LifeStuck && !p.ending {
				w.fail(rule, "%s is %s", p.id, p.state)
			}
		}
	}
}

func nonsenseIgnored(w *world, e *entry) {
	ignored := slices.ContainsFunc(e.actions, func(a Action) bool { _, ok := a.(Ignored); return ok })
	if w.nonsense && !ignored || ignored && len(e.actions) > 1 && e.wait == 0 {
		w.fail("an impossible event is recorded and changes nothing", "%s is answered by %d actions", say(e.event), len(e.actions))
	}
}

func deadlineAhead(w *world, _ *entry) {
	if d, ok := w.pool.Deadline(); ok && !d.After(w.now) {
		w.fail("after a step no deadline is in the past", "%v ago", w.now.Sub(d))
	}
}

func twin(w *world, e *entry) {
	if w.carry != nil {
		w.twin = w.carry(w.twin)
	}
	if other := w.twin.Step(w.now, e.event); !reflect.DeepEqual(e.actions, other) {
		w.fail("the same events give the same actions", "%d and %d actions after %s", len(e.actions), len(other), say(e.event))
	}
}

func settled(w *world, e *entry) {
	if more := w.twin.Step(w.now, Tick{}); len(more) > 0 {
		w.fail("after a step nothing is left to do until something happens", "%s: then without any event %s", say(e.event), render(more[0]))
	}
}
