package pool

import (
	"fmt"
	"slices"
	"time"
)

type kind int

const (
	cmdStop kind = iota
	cmdStart
	cmdRoll
	cmdHard
	cmdScale
	cmdReload
)

// A command is an operator's request that has no reply yet.
type command struct {
	token   int
	kind    kind
	program *program   // nil: everything
	slot    int        // -1: every slot
	verdict Verdict    // the worst so far
	rolls   int        // how many it waits for
	held    []*program // by it, if it is a hard restart
	added   []*program // by it, if it is a reload
}

// command notes a request, unless what it names does not exist: that is
// answered at once.
func (p *Pool) command(token int, k kind, name string, n int) *command {
	c := &command{token: token, kind: k, slot: n}
	if name == "" {
		c.slot = -1
		p.commands = append(p.commands, c)
		return c
	}
	c.program = p.program(name)
	if c.program == nil || c.program.goes() && k != cmdStop {
		p.reply(c, Verdict{Outcome: NoSuch, Text: "no program named " + name})
		return nil
	}
	if n >= c.program.wanted || n < -1 {
		p.reply(c, Verdict{Outcome: NoSuch, Text: fmt.Sprintf("no worker named %s.%d: %s has %d", name, n, name, c.program.wanted)})
		return nil
	}
	p.commands = append(p.commands, c)
	return c
}

func (c *command) covers(pr *program, s *slot) bool {
	return c.program == nil || c.program == pr && (c.slot < 0 || c.slot == s.n) || slices.Contains(c.held, pr)
}

// reply sends the one answer to a command. One that nobody waits for is told only
// of its refusal, so that the log can have it.
func (p *Pool) reply(c *command, v Verdict) {
	if c.token != 0 || v.Outcome == Refused || v.Outcome == NoSuch {
		p.emit(Reply{Token: c.token, Verdict: v})
	}
}

// answer replies to a command that was noted.
func (p *Pool) answer(c *command, v Verdict) {
	p.commands = slices.DeleteFunc(p.commands, func(other *command) bool { return other == c })
	p.reply(c, v)
}

// refuse answers a command that makes something start when nothing may any
// more. It tells whether that was so, or the command has been answered before.
func (p *Pool) refuse(c *command) bool {
	if c != nil && p.phase == Stopping {
		p.answer(c, Verdict{Outcome: Refused, Text: "stopping"})
	}
	if c != nil && p.phase != Stopping && c.program != nil && c.program.goes() {
		p.answer(c, Verdict{Outcome: Refused, Text: c.program.Name + " was " + removedWhy})
		return true
	}
	return c == nil || p.phase == Stopping
}

// restore takes the operator's Start.
func (p *Pool) restore(e Start) {
	c := p.command(e.Token, cmdStart, e.Program, e.Slot)
	if p.refuse(c) {
		return
	}
	for _, pr := range slices.Clone(p.programs) {
		away := pr.down() && pr.away()
		for _, s := range pr.slots {
			if c.covers(pr, s) && (s.stopped || s.failed || s.ended || !s.retry.IsZero()) {
				s.stopped, s.failed, s.ended, s.retry, s.crashes = false, false, false, time.Time{}, nil
				pr.started = pr.started && !pr.added // it has yet to come up
			}
		}
		if away && !pr.away() {
			pr.renew() // what is started is what is there now
		}
	}
	p.relate()
}

// restart takes the operator's Restart.
func (p *Pool) restart(e Restart) {
	k := cmdRoll
	if e.Hard {
		k = cmdHard
	}
	c := p.command(e.Token, k, e.Program, e.Slot)
	if p.refuse(c) {
		return
	}
	var programs []*program
	for _, pr := range p.programs {
		if c.own(pr) && !pr.goes() {
			programs = append(programs, pr)
		}
	}
	if len(programs) == 0 {
		p.answer(c, Verdict{Outcome: Refused, Text: "no program has listeners; name the one to restart"})
		return
	}
	if e.Hard && c.slot >= 0 {
		p.answer(c, Verdict{Outcome: Refused, Text: "a hard restart is one of the whole program; name it without a slot"})
		return
	}
	for _, pr := range programs {
		if d := pr.inUse(); d != nil && !e.Hard {
			p.answer(c, Verdict{Outcome: Refused, Text: inUseText(d, pr)})
			return
		}
	}
	for _, pr := range programs {
		if e.Hard {
			p.hold(c, pr)
		} else {
			p.enroll(c, pr, false)
		}
	}
}

// own tells whether a restart is of the program, and not only because it
// depends on another.
func (c *command) own(pr *program) bool {
	return c.program == pr || c.program == nil && (len(pr.Listeners) > 0 || pr.Ports)
}

// passes tells whether a hard restart does without a program that depends on
// its own: the operator has stopped that, or what it needs of those.
func (c *command) passes(pr *program) bool {
	need := pr.stopped()
	return c.kind == cmdHard && need != nil && !c.own(pr) && !c.own(need) && slices.Contains(c.held, need)
}

func inUseText(d, pr *program) string {
	return fmt.Sprintf("%s depends on %s and runs; --hard stops it, restarts %s and starts it again", d.Name, pr.Name, pr.Name)
}

// inUse returns a program that runs and needs this one, unless there are
// always other workers of it while one is replaced.
func (pr *program) inUse() *program {
	if pr.overlaps() {
		return nil
	}
	for _, d := range pr.dependants {
		if !d.down() {
			return d
		}
	}
	return nil
}

// scale takes the operator's Scale.
func (p *Pool) scale(now time.Time, e Scale) {
	c := p.command(e.Token, cmdScale, e.Program, -1)
	if p.refuse(c) {
		return
	}
	if c.program == nil || e.Workers < 1 {
		p.answer(c, Verdict{Outcome: Refused, Text: "scale needs a program and at least 1 worker"})
		return
	}
	if d := c.program.neededBy(func(s *slot) bool { return s.n >= e.Workers }); d != nil {
		p.answer(c, Verdict{Outcome: Refused, Text: fmt.Sprintf("%s depends on %s and runs, and no other worker of %s would be left", d.Name, c.program.Name, c.program.Name)})
		return
	}
	if most := c.program.MostWorkers; most > 0 && e.Workers > most {
		p.answer(c, Verdict{Outcome: Refused, Text: fmt.Sprintf("%s can have %d workers at most", c.program.Name, most)})
		return
	}
	p.resize(now, c.program, e.Workers)
}

// resize sets how many workers the program is to have.
func (p *Pool) resize(now time.Time, pr *program, workers int) {
	pr.resize(workers)
	for _, s := range pr.slots[min(pr.wanted, workers):workers] {
		s.generation = pr.generation
	}
	pr.wanted = workers
	for _, s := range pr.slots[pr.wanted:] {
		s.stopped, s.failed, s.ended, s.retry = false, false, false, time.Time{}
		p.drainSlot(now, pr, s, "scaled down")
	}
}

// overlaps tells whether others of the program go on serving its users while
// one of them is replaced, also by a roll that changes whether they do.
func (pr *program) overlaps() bool {
	return !slices.ContainsFunc(pr.forms(), func(c *Program) bool { return len(c.Listeners) == 0 || c.MaxSurge == 0 })
}

// neededBy returns a program that runs and needs the slots that go, because the
// last lives of this one are in them; or nil.
func (pr *program) neededBy(goes func(*slot) bool) *program {
	serves := func(s *slot) bool { return s.current() != nil }
	if !slices.ContainsFunc(pr.slots, func(s *slot) bool { return goes(s) && serves(s) }) ||
		slices.ContainsFunc(pr.slots, func(s *slot) bool { return !goes(s) && serves(s) }) {
		return nil
	}
	for _, d := range pr.dependants {
		if !d.down() {
			return d
		}
	}
	return nil
}

// answersFor tells whether the end of a life in the slot counts for the command. Of
// what is rolled the roll tells; a reload answers for what it starts and ends
// besides, not for what happens to the others meanwhile.
func (c *command) answersFor(pr *program, s *slot) bool {
	switch c.kind {
	case cmdRoll:
		return false
	case cmdReload:
		return slices.Contains(c.added, pr) || pr.removed || s.n >= pr.wanted
	}
	return c.covers(pr, s)
}

// judge lets every command that waits know how a life within its scope ended,
// and the final verdict if it is a stop.
func (p *Pool) judge(pr *program, s *slot, v Verdict) {
	if p.phase == Stopping {
		p.ending.worsen(v)
	}
	for _, c := range p.commands {
		if c.answersFor(pr, s) {
			c.verdict.worsen(v)
		}
	}
	if len(p.rolls) > 0 && p.rolls[0].began && p.rolls[0].program == pr {
		p.rolls[0].verdict.worsen(v)
	}
}

// settleCommands answers every command whose end has been reached.
func (p *Pool) settleCommands() {
	for _, c := range slices.Clone(p.commands) {
		if c.kind != cmdStop && p.stranded(c) {
			continue
		}
		if p.reached(c) {
			p.answer(c, c.verdict)
		}
	}
	p.dropRefused()
}

// stranded answers a command that waits for something to start that cannot,
// because the operator has stopped what it depends on. A roll that has begun
// keeps its place, and goes on when it can: given up half done, it would leave
// two generations side by side. One that has not is nobody's any more.
func (p *Pool) stranded(c *command) bool {
	for _, pr := range p.programs {
		need := pr.stopped()
		if need == nil || !p.concerns(c, pr) || c.passes(pr) || need == pr && (c.kind == cmdScale || c.kind == cmdReload) {
			continue
		}
		v := Verdict{Outcome: Refused, Text: fmt.Sprintf("%s depends on %s, which %s; start it first", pr.Name, need.Name, need.rests())}
		if need == pr {
			v.Text = pr.Name + " " + pr.rests() + "; start it"
		}
		p.answer(c, v)
		return true
	}
	return false
}

// stopped returns what a program cannot do without and the operator has
// stopped: itself, or what it depends on, directly or not; or nil.
func (pr *program) stopped() *program {
	if pr.away() {
		return pr
	}
	for _, need := range pr.needs {
		if away := need.stopped(); away != nil {
			return away
		}
	}
	return nil
}

// rests says why a program that is away is.
func (pr *program) rests() string {
	for _, s := range pr.slots[:pr.wanted] {
		switch {
		case s.failed:
			return "has failed (" + s.why + ")"
		case s.ended:
			return "has ended"
		}
	}
	return "is stopped"
}

// concerns tells whether a command makes lives of the program start, or waits
// behind a roll that does.
func (p *Pool) concerns(c *command, pr *program) bool {
	return c.program == pr || slices.Contains(c.held, pr) || slices.Contains(c.added, pr) ||
		slices.ContainsFunc(p.rolls, func(r *roll) bool {
			return (r.program == pr || p.underWay(pr)) && slices.Contains(r.waiting, c)
		})
}

func (p *Pool) reached(c *command) bool {
	switch c.kind {
	case cmdRoll:
		return c.rolls == 0
	case cmdHard:
		// What depends on the program is started again too.
		return !slices.ContainsFunc(p.programs, func(pr *program) bool {
			return slices.Contains(c.held, pr) && (pr.held || !c.settled(pr)) && !c.passes(pr)
		})
	case cmdStart:
		// One that cannot arrive any more ends the waiting for the others.
		return p.each(c, func(pr *program, s *slot) bool { return s.n >= pr.wanted || c.arrived(s) }) || c.verdict.Outcome != Done
	case cmdScale:
		return c.settled(c.program) && !c.program.shrinks()
	case cmdReload:
		return c.rolls == 0 && !slices.ContainsFunc(p.programs, func(pr *program) bool {
			return pr.goes() || slices.Contains(c.added, pr) && !c.settled(pr) || pr.shrinks()
		})
	case cmdStop:
		// A stop of everything is answered at the end of all.
		// A life that a Start has brought since is none of its business.
		return c.program != nil && p.each(c, func(_ *program, s *slot) bool { return !s.leaving() })
	}
	panic("pool: unknown kind of command")
}

// shrinks tells whether lives are left in slots that the program has no more.
func (pr *program) shrinks() bool { return slices.ContainsFunc(pr.slots[pr.wanted:], (*slot).busy) }

// settled tells whether every slot of the program has come to rest.
func (c *command) settled(pr *program) bool {
	for _, s := range pr.slots[:pr.wanted] {
		if !s.stopped && !c.arrived(s) {
			return false
		}
	}
	return true
}

// arrived tells whether a slot serves, or has given up.
func (c *command) arrived(s *slot) bool {
	switch {
	case s.stopped:
		c.verdict.worsen(Verdict{Outcome: Refused, Text: "stopped by the operator meanwhile"})
	case s.failed:
		c.verdict.worsen(Verdict{Outcome: Refused, Text: s.why})
	}
	return s.stopped || s.failed || s.ended || s.serving() != nil
}

// each tells whether f holds for every slot the command covers.
func (p *Pool) each(c *command, f func(*program, *slot) bool) bool {
	for _, pr := range p.programs {
		for _, s := range pr.slots {
			if c.covers(pr, s) && !f(pr, s) {
				return false
			}
		}
	}
	return true
}
