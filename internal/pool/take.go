package pool

import (
	"fmt"
	"slices"
	"time"
)

// take applies one event.
func (p *Pool) take(now time.Time, e Event) {
	taken := true
	switch e := e.(type) {
	case Begin, Tick:
	case Hello:
		taken = p.with(e.ID, func(_ *program, _ *slot, l *life) { p.hello(now, l, e.Moves) })
	case Ready:
		taken = p.ready(now, e.ID)
	case Alive:
		taken = p.alive(now, e.ID)
	case Hung:
		taken = p.sick(now, e.ID)
	case Watch:
		taken = p.with(e.ID, func(_ *program, _ *slot, l *life) { l.watched(now, e.Every) })
	case Extend:
		taken = p.with(e.ID, func(_ *program, _ *slot, l *life) { p.extend(now, l, e.By) })
	case Ending:
		taken = p.with(e.ID, func(pr *program, _ *slot, l *life) { p.endsItself(now, pr, l) })
	case Busy:
		taken = p.with(e.ID, func(pr *program, _ *slot, l *life) { p.working(now, pr, l, e.Is) })
	case Worn:
		taken = p.with(e.ID, func(_ *program, _ *slot, l *life) { l.wear(e.Why) })
	case Closed:
		taken = p.with(e.ID, func(_ *program, _ *slot, l *life) { l.closed = append(l.closed, e.Listeners...) })
	case Drained:
		taken = p.with(e.ID, func(pr *program, _ *slot, l *life) { p.drained(pr, l, e.Cut) })
	case Lost:
		taken = p.missed(e)
	case Quiet:
		taken = p.with(e.ID, func(_ *program, _ *slot, l *life) { l.quiet = l.lame })
	case GateOpen:
		taken = p.gateOpen(now, e.ID)
	case CommandFailed:
		pr, _, l := p.life(e.ID)
		if taken = l != nil && l.state == LifeDraining && l.step == commanded; taken {
			p.signal(now, pr, l, pr.DrainTimeout)
		}
	case Exited:
		taken = p.with(e.ID, func(pr *program, _ *slot, l *life) { p.exited(now, pr, l) })
	case Gone:
		taken = p.with(e.ID, func(pr *program, s *slot, l *life) { p.gone(now, pr, s, l, e) })
	case Quiesced:
		l := p.listener(e.Listener)
		if taken = l != nil && l.state == quiescing; taken {
			l.state = quiet
		}
	case Stop:
		p.stop(now, e)
	case Start:
		p.restore(e)
	case Restart:
		p.restart(e)
	case Scale:
		p.scale(now, e)
	case Reload:
		p.reload(now, e)
	case Rollback:
		p.rollback(e)
	default:
		panic(fmt.Sprintf("pool: unknown event %T", e))
	}
	if !taken {
		p.emit(Ignored{Event: e})
	}
}

// with calls f on a life that has not ended, and tells whether there is one.
func (p *Pool) with(id ID, f func(*program, *slot, *life)) bool {
	pr, s, l := p.life(id)
	if l == nil {
		return false
	}
	f(pr, s, l)
	return true
}

// hello notes that a life has a channel. One that was to end before it said so
// has only been signalled, and a signal to a process that is still becoming its
// program can be lost: it is told again. That is no new asking, and no gate is
// asked that was not before.
func (p *Pool) hello(now time.Time, l *life, moves bool) {
	l.channel = true
	l.moves = moves
	if l.state == LifeDraining && l.step == signalled && !l.exited {
		p.emit(Ask{ID: l.id, Reason: l.reason, Timeout: l.deadline.Sub(now)})
	}
}

func (p *Pool) ready(now time.Time, id ID) bool {
	pr, _, l := p.life(id)
	if l == nil || l.state != LifeStarting {
		return false
	}
	l.deadline, l.served = time.Time{}, true
	p.become(l, LifeReady, "")
	if pr.MinUptime > 0 {
		l.proven = now.Add(pr.MinUptime)
	}
	if pr.MaxAge > 0 {
		l.retire = now.Add(pr.MaxAge)
		if pr.MaxAgeJitter > 0 {
			l.retire = l.retire.Add(time.Duration(p.next() % uint64(pr.MaxAgeJitter)))
		}
	}
	if !l.ownWatch {
		l.watch = pr.Watchdog // a roll may change it for those to come
	}
	p.alive(now, id)
	return true
}

func (p *Pool) drained(pr *program, l *life, cut int) {
	l.drained = true
	l.cut += cut
	if l.step != asked || !l.hold {
		return
	}
	if l.state == LifeDraining && pr.Gated {
		l.step = held
		p.emit(AskGate{ID: l.id})
	} else {
		p.emit(Quit{ID: l.id}) // its deadline has passed, or a reload has done away with the gate
	}
}

func (p *Pool) gateOpen(now time.Time, id ID) bool {
	pr, _, l := p.life(id)
	switch {
	case l == nil || l.state != LifeDraining:
		return false
	case l.step == atGate && l.closeSent && l.busy: // its work may be what keeps the gate shut the next moment
		l.step = emptying
	case l.step == atGate:
		p.signal(now, pr, l, pr.DrainTimeout)
	case l.step == held:
		l.step = asked
		p.emit(Quit{ID: id})
	default:
		return false
	}
	return true
}

// exited deals with a process that left others of its group behind: they get
// the stop signal, and the slot waits for them.
func (p *Pool) exited(now time.Time, pr *program, l *life) {
	l.exited = true
	if l.state != LifeDraining && l.leaving() {
		return
	}
	if !l.leaving() {
		p.become(l, LifeDraining, "its process ended, its group lives on")
	}
	by, until := l.step, l.deadline
	p.signal(now, pr, l, pr.StopTimeout)
	switch by {
	case notAsked, byItself:
		l.step = by // its end stays a crash
	case commanded:
		l.deadline = now.Add(pr.DrainTimeout)
	default:
		l.deadline = until // what is left has the time that all were given
	}
}

// gone deals with the end of a life. That of a stuck one has been dealt with.
func (p *Pool) gone(now time.Time, pr *program, s *slot, l *life, e Gone) {
	s.lives = slices.DeleteFunc(s.lives, func(other *life) bool { return other == l })
	if l.state == LifeStuck {
		p.become(l, LifeGone, "")
		return
	}
	l.exit, l.deadline, l.killed = e.Exit, time.Time{}, l.killed && !e.Missed
	v := p.verdict(pr, l, e.Exit)
	p.become(l, LifeGone, v.Text)
	p.lost(now, pr, s, l, v)
}

// lost decides what follows from a life that is there no more, or will never
// end.
func (p *Pool) lost(now time.Time, pr *program, s *slot, l *life, v Verdict) {
	own := l.own()
	if !slices.Equal(l.needs, pr.DependsOn) {
		p.relate() // nobody may need that any more
	}
	p.judge(pr, s, v)
	switch {
	case p.phase == Stopping || pr.held || pr.goes():
	case own && p.phase == Starting && !pr.started && !pr.finished(l):
		v.Outcome = NeverUp
		if !l.killed {
			v.Text += " before everything was ready"
		}
		p.fail(v)
	case p.rollLost(now, l, v):
	case own && s.n < pr.wanted && !s.stopped && s.current() == nil:
		p.crashed(now, pr, s, l, v.Text)
		p.exhausted(pr, l, v)
	}
}

// finished tells whether a life that was not ready yet has done its work all
// the same.
func (pr *program) finished(l *life) bool {
	done, _ := pr.ends(l)
	return done
}

// exhausted ends everything in order when a program has no slot left that
// serves or may come back: as a failure if one of its slots has failed, or
// others depend on it; else only when no other program has work to do, and
// then well.
func (p *Pool) exhausted(pr *program, l *life, v Verdict) {
	over, failed := pr.over()
	switch {
	case !over || pr.added: // the others serve on without it
	case failed || len(pr.dependants) > 0:
		p.fail(Verdict{Outcome: GaveUpAll, Life: l.id, Text: fmt.Sprintf("%s has no worker left: %s", pr.Name, v.Text)})
	case !slices.ContainsFunc(p.programs, (*program).works):
		p.fail(Verdict{})
	}
}

// works tells whether the program is there for its own sake, and not done.
func (pr *program) works() bool {
	over, _ := pr.over()
	return len(pr.dependants) == 0 && !over && !pr.removed
}

// fail ends everything in order because of v.
func (p *Pool) fail(v Verdict) {
	p.ending.worsen(v)
	p.beginStop()
}
