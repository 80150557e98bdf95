package pool

import (
	"slices"
	"time"
)

// A roll replaces the lives of some slots of one program, one after the other.
// It is a transaction: if a new life does not come up, every slot that was
// already replaced goes back to the generation it had, by the same way.
type roll struct {
	program  *program
	slots    []item   // in the order they are replaced
	all      bool     // slots are those there are when it begins, and get a new generation
	rollback bool     // or rather the one before
	same     bool     // once it has begun: the new generation has the settings of the old
	only     ID       // if it is about one life, and nothing if that is gone
	undo     *version // once it has begun, if it is of all: what the program was
	began    bool
	back     bool    // it failed, and replaces back
	verdict  Verdict // so far
	waiting  []*command
}

// item is one slot of a roll.
type item struct {
	slot *slot
	from int   // the generation it had
	to   int   // the one it gets
	next *life // the new life
	done bool  // the new life serves, and the old has been asked to end
}

// underWay tells whether a roll of the program has begun.
func (p *Pool) underWay(pr *program) bool {
	return len(p.rolls) > 0 && p.rolls[0].began && p.rolls[0].program == pr
}

// rolling tells whether the roll under way decides what starts in the slot.
func (p *Pool) rolling(pr *program, s *slot) bool {
	if !p.underWay(pr) {
		return false
	}
	return slices.ContainsFunc(p.rolls[0].slots, func(it item) bool { return it.slot == s && !it.done })
}

// enroll makes the command wait for a roll of the program's slot, or of all of
// them (-1). A roll that has not begun serves every command that asks for it;
// one that has begun is followed by exactly one more.
func (p *Pool) enroll(c *command, pr *program, rollback bool) {
	c.rolls++
	for _, r := range p.rolls {
		covers := r.all || len(r.slots) == 1 && r.slots[0].slot.n == c.slot && r.only == (ID{})
		if !r.began && r.program == pr && r.rollback == rollback && covers {
			r.waiting = append(r.waiting, c)
			return
		}
	}
	r := &roll{program: pr, all: c.slot < 0, rollback: rollback, waiting: []*command{c}}
	if !r.all {
		r.slots = []item{{slot: pr.slots[c.slot]}}
	}
	p.rolls = append(p.rolls, r)
}

// settleRolls moves the roll under way forward, and begins the next.
func (p *Pool) settleRolls(now time.Time) {
	for p.dropRefused(); len(p.rolls) > 0; p.dropRefused() {
		r := p.nextRoll()
		if r == nil {
			return
		}
		if !r.began {
			if d := r.program.inUse(); d != nil { // since it was asked for
				p.abandon(r.program, inUseText(d, r.program))
				continue
			}
			p.beginRoll(r)
		}
		for i := range r.slots {
			p.relieve(now, r, &r.slots[i])
		}
		for i := range r.slots {
			p.replace(now, r, &r.slots[i])
		}
		if !r.ended() {
			return
		}
		p.rolls = p.rolls[1:]
		p.endRoll(r)
	}
}

// nextRoll puts the roll that goes on first, and returns it; or nil. A program
// that is not up is not rolled, and the others do not wait for it: it may never
// come up.
func (p *Pool) nextRoll() *roll {
	i := slices.IndexFunc(p.rolls, func(r *roll) bool { return r.began || !r.program.held && r.program.started })
	if i < 0 {
		return nil
	}
	r := p.rolls[i]
	p.rolls = slices.Insert(slices.Delete(p.rolls, i, i+1), 0, r)
	return r
}

// dropRefused forgets rolls that have not begun and of which all who asked for
// them have been refused.
func (p *Pool) dropRefused() {
	p.rolls = slices.DeleteFunc(p.rolls, func(r *roll) bool {
		return !r.began && len(r.waiting) > 0 && !slices.ContainsFunc(r.waiting, func(c *command) bool { return slices.Contains(p.commands, c) })
	})
}

// beginRoll decides what is replaced, and by which generation.
func (p *Pool) beginRoll(r *roll) {
	pr := r.program
	r.began = true
	switch {
	case r.rollback && (len(pr.past) == 0 || !pr.fits(pr.past[len(pr.past)-1])):
		r.verdict = Verdict{Outcome: Refused, Text: pr.Name + " had other listeners or dependencies before, or there is no generation before; reload the configuration it had"}
		return
	case r.all:
		before := pr.Program
		r.undo, pr.before = &version{pr.generation, before}, &before
		if r.rollback {
			v := pr.past[len(pr.past)-1]
			pr.past = pr.past[:len(pr.past)-1]
			pr.generation, pr.Program, pr.behind = v.generation, v.program, true
		} else {
			r.same = pr.next == nil
			pr.advance()
		}
		p.relate()
		for _, s := range pr.slots[:min(pr.wanted, len(pr.slots))] {
			r.slots = append(r.slots, item{slot: s})
		}
	case r.only != ID{}:
		if l := r.slots[0].slot.current(); l == nil || l.id != r.only {
			r.slots = nil // it has been replaced meanwhile
		}
	}
	for i := range r.slots {
		r.slots[i].from, r.slots[i].to = r.slots[i].slot.generation, pr.generation
	}
}

// endRoll tells those who wait for it.
func (p *Pool) endRoll(r *roll) {
	if r.undo != nil {
		if !r.back && !r.rollback {
			r.program.remember(*r.undo)
			r.program.behind = false // whoever asked for it wants what there is
		}
		r.program.before = nil
		p.relate()
	}
	if r.only == (ID{}) || r.slots != nil {
		p.emit(Rolled{Program: r.program.Name, Generation: r.program.generation, Verdict: r.verdict})
	}
	for _, c := range r.waiting {
		c.verdict.worsen(r.verdict)
		c.rolls--
	}
}

// replace starts the new life of a slot, if it may start now.
func (p *Pool) replace(now time.Time, r *roll, it *item) {
	if !it.done && it.next == nil && p.mayReplace(now, r, it.slot) {
		it.slot.failed, it.slot.ended, it.slot.retry = false, false, time.Time{}
		it.next = p.start(now, r.program, it.slot, it.to)
	}
}

// relieve asks the old life of a slot to end, if the new one serves.
func (p *Pool) relieve(now time.Time, r *roll, it *item) {
	pr, s := r.program, it.slot
	switch {
	case it.done:
		return
	case s.stopped || s.n >= pr.wanted:
		it.done, s.generation = true, it.to
		return
	case it.next == nil || it.next.state != LifeReady || !it.next.proven.IsZero() || r.draining() >= pr.maxDraining():
		return
	}
	it.done = true
	s.generation = it.to
	for _, l := range s.lives {
		if l != it.next {
			p.drain(now, pr, l, ForRoll, l.forRoll())
		}
	}
}

// mayReplace tells whether the new life of a slot may start now. If the old
// one must end first, it is asked to.
func (p *Pool) mayReplace(now time.Time, r *roll, s *slot) bool {
	if !r.program.mayStart() || r.starting() >= max(1, r.program.MaxSurge) {
		return false
	}
	old := s.current()
	if old == nil {
		return !s.busy() // nothing overlaps that the roll did not start
	}
	if r.program.MaxSurge > 0 {
		return true
	}
	if r.draining() == 0 {
		p.drain(now, r.program, old, ForRoll, old.forRoll())
	}
	return false
}

// forRoll is why a life is rolled.
func (l *life) forRoll() string {
	if l.worn != "" {
		return l.worn
	}
	return "roll"
}

func (pr *program) maxDraining() int {
	if pr.MaxDraining > 0 {
		return pr.MaxDraining
	}
	return max(1, pr.wanted)
}

// starting counts the new lives that do not replace an old one yet.
func (r *roll) starting() int {
	n := 0
	for _, it := range r.slots {
		if it.next != nil && !it.done {
			n++
		}
	}
	return n
}

// draining counts the lives of the program that are on their way out.
func (r *roll) draining() int {
	n := 0
	for _, s := range r.program.slots {
		for _, l := range s.lives {
			if l.state == LifeDraining || l.state == LifeCutting {
				n++
			}
		}
	}
	return n
}

// ended tells whether every slot is done and every old life has ended.
func (r *roll) ended() bool {
	for _, it := range r.slots {
		if !it.done || it.slot.leaving() {
			return false
		}
	}
	return true
}

// rollLost takes the end of a life that the roll under way was waiting for.
// The roll fails with it: what was replaced goes back. It tells whether the
// life was such a one; then the slot does not count a crash.
func (p *Pool) rollLost(now time.Time, l *life, v Verdict) bool {
	if len(p.rolls) == 0 {
		return false
	}
	r := p.rolls[0]
	i := slices.IndexFunc(r.slots, func(it item) bool { return it.next == l && !it.done })
	if i < 0 {
		return false
	}
	if r.back {
		// The old generation does not come up either: the slot's own restarts
		// go on from here, and the roll does not wait for them.
		r.slots[i].done = true
		return false
	}
	p.goBack(now, r, i, v)
	return true
}

// goBack turns the roll round because the new life of slot i has ended.
func (p *Pool) goBack(now time.Time, r *roll, i int, v Verdict) {
	v.Outcome = RolledBack
	v.Text += "; the workers before it serve on"
	r.adopt()
	r.back, r.verdict = true, v
	p.undo(r)
	back := r.slots[:0]
	var failed []*life
	for _, it := range r.slots {
		it.slot.generation = it.from
		if it.next != nil && it.next.state == LifeReady && !slices.ContainsFunc(it.slot.lives, func(l *life) bool { return l != it.next && l.state == LifeReady }) {
			it.done = true // nobody else serves there any more
		}
		old := it.slot.current()
		if it.next != nil && !it.done {
			failed, old = append(failed, it.next), it.slot.other(it.next)
		}
		if old != nil && old.worn != "" {
			old.retire = now.Add(recycleAgain)
		}
		// A slot that was not reached keeps its old life; the others get one
		// of the old generation.
		if it.next != nil && it.done || old == nil || old.generation != it.from {
			back = append(back, item{slot: it.slot, from: it.from, to: it.from})
		}
	}
	r.slots = back // before the first is asked: it is told who stays
	for _, l := range failed {
		p.drain(now, r.program, l, ForRoll, "the roll failed")
	}
}

// adopt makes slots that have come since the roll began, and start on its
// generation, go back with the others.
func (r *roll) adopt() {
	to := r.program.generation
	if r.undo == nil || r.undo.generation == to {
		return
	}
	for _, s := range r.program.slots[:r.program.wanted] {
		known := slices.ContainsFunc(r.slots, func(it item) bool { return it.slot == s })
		if !known && s.generation == to {
			r.slots = append(r.slots, item{slot: s, from: r.undo.generation, to: to})
		}
	}
}

// undo makes the program what it was before the roll.
func (p *Pool) undo(r *roll) {
	pr := r.program
	if r.undo == nil {
		return
	}
	failed := version{pr.generation, pr.Program}
	pr.generation, pr.Program = r.undo.generation, r.undo.program
	pr.Workers = failed.program.Workers
	pr.before = &failed.program // some lives are still of that
	if r.rollback {
		pr.remember(failed)
	}
	pr.behind = pr.behind || !r.same
	p.relate()
}

// abandon ends all rolls of a program, and tells those who wait for them.
func (p *Pool) abandon(pr *program, why string) {
	p.rolls = slices.DeleteFunc(p.rolls, func(r *roll) bool {
		if r.program != pr {
			return false
		}
		if r.undo != nil { // what it has begun stays so
			if !r.back && !r.rollback {
				pr.remember(*r.undo)
			}
		}
		for _, c := range r.waiting {
			if slices.Contains(p.commands, c) {
				p.answer(c, Verdict{Outcome: Refused, Text: why})
			}
		}
		return true
	})
}
