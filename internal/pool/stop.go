package pool

import (
	"slices"
	"time"
)

// stop takes the operator's Stop.
func (p *Pool) stop(now time.Time, e Stop) {
	c := p.command(e.Token, cmdStop, e.Program, e.Slot)
	if c == nil {
		return
	}
	if c.program == nil {
		p.hurry = p.hurry || e.Now
		p.beginStop()
	} else if p.refuseStop(c) {
		return
	}
	if c.program == nil {
		return // settleStop asks them in order
	}
	for _, s := range c.program.slots {
		if c.covers(c.program, s) { // before the first is asked: it is told who stays
			s.stopped, s.retry = true, time.Time{}
		}
	}
	for _, s := range c.program.slots {
		if c.covers(c.program, s) {
			p.drainSlot(now, c.program, s, "stopped by the operator")
			if e.Now {
				p.cutSlot(now, c.program, s)
			}
		}
	}
}

func (p *Pool) cutSlot(now time.Time, pr *program, s *slot) {
	for _, l := range s.lives {
		p.cutNow(now, pr, l)
	}
}

// refuseStop answers a Stop of something that others still depend on.
func (p *Pool) refuseStop(c *command) bool {
	all := c.slot < 0 || !slices.ContainsFunc(c.program.slots, func(s *slot) bool { return s.n != c.slot && s.current() != nil })
	if !all {
		return false
	}
	for _, d := range c.program.dependants {
		if !d.down() {
			p.answer(c, Verdict{Outcome: Refused, Text: d.Name + " depends on " + c.program.Name + " and runs; stop it first"})
			return true
		}
	}
	return false
}

func (p *Pool) drainSlot(now time.Time, pr *program, s *slot, why string) {
	for _, l := range s.lives {
		p.drain(now, pr, l, pr.reason(p), why)
	}
}

// reason says for what a life of the program drains now: for a stop only if
// nobody accepts from its listeners any more.
func (pr *program) reason(p *Pool) Reason {
	for _, name := range pr.Listeners {
		if p.listener(name).state == open {
			return ForRoll
		}
	}
	if len(pr.Listeners) == 0 && p.phase != Stopping {
		return ForRoll
	}
	return ForStop
}

// beginStop marks that nothing starts any more, before any life is asked to
// end. Commands that wait for something to start are told.
func (p *Pool) beginStop() {
	if p.phase == Stopping {
		return
	}
	p.phase = Stopping
	p.rolls = nil
	for _, pr := range p.programs {
		pr.held, pr.next = false, nil
		for _, s := range pr.slots {
			s.retry = time.Time{}
		}
	}
	p.relate()
	for _, c := range slices.Clone(p.commands) {
		if c.kind != cmdStop {
			p.answer(c, Verdict{Outcome: Refused, Text: "stopping"})
		}
	}
}

// settleStop asks every program to end whose dependants have all ended.
func (p *Pool) settleStop(now time.Time) {
	for _, pr := range slices.Backward(p.programs) {
		if slices.ContainsFunc(pr.dependants, func(d *program) bool { return !d.down() }) {
			continue
		}
		pr.ending = true
		if !p.quiesce(pr) && !p.hurry {
			continue
		}
		for _, s := range pr.slots {
			p.drainSlot(now, pr, s, "stopping")
			// What others depended on has no work of its own to cut, and may
			// have data to save.
			if p.hurry && len(pr.dependants) == 0 {
				p.cutSlot(now, pr, s)
			}
		}
	}
}

// settleHeld carries hard restarts: what is held is asked to end, dependants
// first, and let go when all that is held is down.
func (p *Pool) settleHeld(now time.Time) {
	held, down := 0, true
	for _, pr := range slices.Backward(p.programs) {
		if !pr.held {
			continue
		}
		held++
		down = down && pr.down()
		if slices.ContainsFunc(pr.dependants, func(d *program) bool { return !d.down() }) {
			continue
		}
		for _, s := range pr.slots {
			s.retry = time.Time{}
			p.drainSlot(now, pr, s, "hard restart")
		}
	}
	if held == 0 || !down {
		return
	}
	var renewed []*program
	for _, pr := range p.programs {
		if pr.held {
			pr.held, pr.started = false, false
			for _, s := range pr.slots {
				s.failed, s.ended = false, false
			}
			renewed = append(renewed, pr)
		}
	}
	for _, pr := range renewed { // what is restarted is what is there now
		pr.renew()
	}
	p.relate()
}

// hold keeps a program, and all that depends on it, down until all are down.
func (p *Pool) hold(c *command, pr *program) {
	pr.held = true
	if c.own(pr) || !pr.down() || pr.stopped() == nil { // else it was down before, and stays so
		c.held = append(c.held, pr)
	}
	p.abandon(pr, "overtaken by a hard restart")
	for _, s := range pr.slots {
		s.generation = pr.generation // all come back alike
	}
	for _, d := range pr.dependants {
		p.hold(c, d)
	}
}
