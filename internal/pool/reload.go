package pool

import (
	"slices"
	"time"
)

// A version is what a program was in one generation.
type version struct {
	generation int
	program    Program
}

// maxPast bounds how far back a rollback can go.
const maxPast = 3

// remember keeps what a rollback goes back to.
func (pr *program) remember(v version) {
	pr.past = append(pr.past, v)
	pr.past = pr.past[max(0, len(pr.past)-maxPast):]
}

// advance makes a new generation, of what the configuration says now.
func (pr *program) advance() {
	pr.newest++
	pr.generation = pr.newest
	if pr.next != nil {
		pr.Program, pr.next, pr.behind = *pr.next, nil, false
	}
}

// renew makes a new generation of a program that has no lives. Its relations may
// be others then: the caller calls relate when it has renewed all it does, since
// one may need what another one is only then.
func (pr *program) renew() {
	pr.remember(version{pr.generation, pr.Program})
	pr.advance()
	pr.before = nil // and not before the lives of that are gone
	for _, s := range pr.slots {
		s.generation = pr.generation
	}
}

// fits tells whether the program can be again what it was: with the listeners
// and beside the programs of then, which may be gone for good.
func (pr *program) fits(v version) bool {
	return slices.Equal(v.program.Listeners, pr.Listeners) && slices.Equal(v.program.DependsOn, pr.DependsOn)
}

// reload takes the operator's Reload.
func (p *Pool) reload(now time.Time, e Reload) {
	c := p.command(e.Token, cmdReload, "", -1)
	if p.refuse(c) {
		return
	}
	for _, pr := range p.programs {
		if !slices.ContainsFunc(e.Programs, func(n Program) bool { return n.Name == pr.Name }) {
			p.remove(now, pr)
		}
	}
	for _, n := range e.Programs {
		pr := p.program(n.Name)
		if pr == nil {
			pr = p.add(n)
			pr.added = true
			c.added = append(c.added, pr)
			continue
		}
		// Else what scale has said holds; so it does while its users live from
		// workers that would go, since the operator has stopped those that stay.
		if n.Workers != pr.Workers && pr.neededBy(func(s *slot) bool { return s.n >= n.Workers }) == nil {
			p.resize(now, pr, n.Workers)
		}
		p.change(now, c, pr, n, slices.Contains(e.Roll, n.Name))
	}
	p.relate()
}

// change takes in what the configuration says now of a program.
func (p *Pool) change(now time.Time, c *command, pr *program, n Program, roll bool) {
	leaving := pr.goes()
	// What only a roll may change has not been rolled yet, or was rolled back.
	roll = roll || pr.next != nil || pr.behind
	pr.removed, pr.ending = false, false
	switch {
	case leaving && (p.closing(pr) || pr.started && !slices.ContainsFunc(pr.slots, func(s *slot) bool { return s.current() != nil })),
		(leaving || roll) && pr.down() && !p.underWay(pr),
		(leaving || roll) && pr.vain():
		pr.added = pr.added || leaving
		p.giveUp(now, pr)
		pr.next, pr.started = &n, false // nothing is there that a roll could replace
		c.added = append(c.added, pr)
		pr.renew()
	case leaving || roll:
		pr.next, pr.Workers = &n, n.Workers
		p.enroll(c, pr, false)
	default:
		p.holdAtOnce(pr, n)
		pr.Program = n
		if p.underWay(pr) && p.rolls[0].same { // it holds for the lives before too
			p.rolls[0].undo.program, *pr.before = n, n
		}
	}
}

// holdAtOnce has the lives there are need what the configuration says now, and
// end by its signals, which are what the shell sends. Those that a roll replaces
// by lives with other settings keep what they had.
func (p *Pool) holdAtOnce(pr *program, n Program) {
	mixed := p.underWay(pr) && p.rolls[0].undo != nil && !p.rolls[0].same
	for _, s := range pr.slots {
		for _, l := range s.lives {
			if !l.leaving() && (!mixed || l.generation == pr.generation) {
				l.needs, l.stopSignal, l.stopSteps = n.DependsOn, n.StopSignal, n.StopSteps
			}
		}
	}
}

// closing tells whether a listener of the program takes no newcomers any more:
// lives that accept from it are nothing that a failed roll could go back to.
func (p *Pool) closing(pr *program) bool {
	return slices.ContainsFunc(p.listeners, func(l *listener) bool { return l.state != open && pr.accepts(l) })
}

// vain tells whether the program was added by a reload and has only lives that
// serve nobody yet. A roll would wait for it to come up, and go back to what
// never did.
func (pr *program) vain() bool { return pr.added && !pr.started && !pr.serves() }

// giveUp ends what is left of a program that was on its way out, or was added and
// never up: what it is from now on is tried as if it were the first.
func (p *Pool) giveUp(now time.Time, pr *program) {
	if !pr.added {
		return
	}
	for _, s := range pr.slots {
		s.failed, s.ended, s.retry, s.crashes = false, false, time.Time{}, nil
		for _, l := range s.lives {
			p.drain(now, pr, l, pr.reason(p), l.forRoll())
		}
	}
}

const removedWhy = "removed from the configuration"

// remove begins the end of a program that the configuration does not have any
// more. Who waits for something of it to start is told.
func (p *Pool) remove(now time.Time, pr *program) {
	p.endSurge(now, pr)
	pr.removed, pr.next, pr.before, pr.held = true, nil, nil, false
	p.abandon(pr, pr.Name+" was "+removedWhy)
	for _, s := range pr.slots {
		s.retry = time.Time{}
	}
	for _, c := range slices.Clone(p.commands) {
		if c.kind != cmdStop && (c.program == pr || slices.Contains(c.held, pr)) {
			p.answer(c, Verdict{Outcome: Refused, Text: pr.Name + " was " + removedWhy})
		}
	}
}

// endSurge asks the new lives of a roll under way to end that stand beside those
// they were to replace: it is not finished, and should the program come back
// before it is gone, nobody would.
func (p *Pool) endSurge(now time.Time, pr *program) {
	if !p.underWay(pr) {
		return
	}
	for _, it := range p.rolls[0].slots {
		if it.next != nil && !it.done && slices.ContainsFunc(it.slot.lives, func(l *life) bool { return l != it.next && !l.leaving() }) {
			p.drain(now, pr, it.next, ForRoll, removedWhy)
		}
	}
}

// goes tells whether the program is removed and nobody needs it any more. As
// long as one does, if only because it was rolled back, it is kept up.
func (pr *program) goes() bool {
	return pr.removed && !slices.ContainsFunc(pr.dependants, func(d *program) bool {
		return slices.Contains(d.needs, pr) && !d.goes()
	})
}

// settleRemoved asks what is removed to end, as the final stop does, and
// forgets what has ended.
func (p *Pool) settleRemoved(now time.Time) {
	for _, pr := range slices.Backward(slices.Clone(p.programs)) {
		if pr.removed && !pr.goes() {
			pr.ending = false
		}
		if !pr.goes() || slices.ContainsFunc(pr.dependants, func(d *program) bool { return !d.down() }) {
			continue
		}
		pr.ending = true
		if !p.quiesce(pr) {
			continue
		}
		for _, s := range pr.slots {
			p.drainSlot(now, pr, s, "removed from the configuration")
		}
		// What will be no dependant any more may still have to say so.
		if pr.down() && len(pr.dependants) == 0 {
			p.programs = slices.DeleteFunc(p.programs, func(other *program) bool { return other == pr })
			p.emit(Removed{Program: pr.Name})
			p.relate()
		}
	}
}

// rollback takes the operator's Rollback.
func (p *Pool) rollback(e Rollback) {
	c := p.command(e.Token, cmdRoll, e.Program, -1)
	if p.refuse(c) {
		return
	}
	for _, pr := range p.programs {
		if (c.program == nil || c.program == pr) && len(pr.past) > 0 && !pr.removed {
			p.enroll(c, pr, true)
		}
	}
	if c.rolls == 0 {
		p.answer(c, Verdict{Outcome: Refused, Text: "there is no generation before this one"})
	}
}
