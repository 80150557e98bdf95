package pool

import (
	"slices"
	"time"
)

// A process is what the world knows of a life.
type process struct {
	id         ID
	generation int
	state      State
	was        State // before that
	due        time.Time
	up         time.Time     // it became ready
	listens    []string      // of its generation
	needs      []string      // when it was started
	watch      time.Duration // of the program when it became ready
	proven     time.Time     // end of its minimum uptime
	retire     time.Time     // when it is old enough, at the latest
	old        time.Time     // and at the earliest
	silent     time.Time     // when its watchdog loses patience

	hello, saidReady, drained, exited bool // it did
	closed                            []string
	cut                               int
	ending                            bool // its end is being reported

	told     bool // asked to end, by whatever way
	asked    bool // over its channel
	reason   Reason
	moves    bool // it said so
	met      []acquaintance
	hold     bool // and it is to wait for Quit
	atGate   bool // the gate is asked
	opened   bool // the gate has opened
	command  bool // its stop command runs
	signal   bool // it has its stop signal
	quit     bool // it was let go
	killed   bool
	replaced bool // a successor was its reason to be asked
	lame     bool // it was told that it is a lame duck
	quiet    bool // it said that no more requests come
	worn     bool // it is to be replaced
	recycled bool // and it was said
	hung     bool // it gives no sign
	aborted  bool // and was ended for it
	exit     Exit // once it is ending
}

// note lets an action on a life come true. What its deadline is then follows
// from the program's settings, by the words of the manual: not from the core.
func (p *process) note(w *world, e Event, a Action) {
	set := w.program(p.id)
	switch a := a.(type) {
	case Became:
		p.became(w, a.State)
	case Ask:
		p.told, p.asked, p.hold, p.due, p.reason = true, true, a.Hold, w.now.Add(a.Timeout), a.Reason
	case Introduce:
		p.meet(a.To)
	case Lame:
		p.lame = true
	case AskGate:
		if !p.asked { // else it has what is left of its own
			p.due = w.now.Add(set.DrainTimeout)
		}
		p.told, p.atGate = true, true
	case RunStopCommand:
		p.told, p.command, p.atGate, p.due = true, true, false, w.now.Add(set.StopTimeout)
	case Signal:
		_, died := e.(Exited)
		died = died && idOf(e) == p.id
		switch {
		case died && !p.told && !p.signal: // to the rest of a group that lost its head
			p.due, p.signal = w.now.Add(set.StopTimeout), true
			return
		case !died && p.atGate:
			p.due = w.now.Add(set.StopTimeout)
		case !died || p.command || !p.told:
			p.due = w.now.Add(set.DrainTimeout)
		}
		p.told, p.signal, p.command, p.atGate = true, true, false, false
	case Quit:
		p.quit = true
	case Abort:
		p.aborted, p.due = true, w.now.Add(set.StopTimeout)
		p.told = !w.needed(p) // else its end is a crash
	case Kill:
		p.killed, p.due = true, w.now.Add(stuckAfter)
	}
}

func (p *process) became(w *world, to State) {
	p.was, p.state = p.state, to
	if to == LifeGone || to == LifeStuck {
		w.lastEnd[p.id.Worker()] = max(w.lastEnd[p.id.Worker()], p.id.Life)
	}
	switch to {
	case LifeReady, LifeStuck:
		p.due = time.Time{}
		p.up = w.now
		if to == LifeStuck {
			p.was = LifeCutting
			w.died = w.died || w.before == Stopping
			w.mayHave = w.mayHave || w.stopping()
		}
	case LifeCutting:
		if p.was != LifeStarting { // that one is killed at once
			set := w.program(p.id)
			p.due = w.now.Add(set.UnwindTimeout + KillMargin)
		}
	case LifeGone:
		w.alive = slices.DeleteFunc(w.alive, func(o *process) bool { return o == p })
		w.ended = append(w.ended, p.id)
	}
}

// idOf returns the life that an event or action is about, or none.
func idOf(about any) ID {
	switch x := about.(type) {
	case Hello:
		return x.ID
	case Ready:
		return x.ID
	case Alive:
		return x.ID
	case Hung:
		return x.ID
	case Watch:
		return x.ID
	case Extend:
		return x.ID
	case Ending:
		return x.ID
	case Busy:
		return x.ID
	case Close:
		return x.ID
	case PutOff:
		return x.ID
	case Worn:
		return x.ID
	case Closed:
		return x.ID
	case Drained:
		return x.ID
	case Lost:
		return x.ID
	case Introduce:
		return x.From
	case Quiet:
		return x.ID
	case Lame:
		return x.ID
	case GateOpen:
		return x.ID
	case CommandFailed:
		return x.ID
	case Exited:
		return x.ID
	case Gone:
		return x.ID
	case Became:
		return x.ID
	case Ask:
		return x.ID
	case AskGate:
		return x.ID
	case RunStopCommand:
		return x.ID
	case Signal:
		return x.ID
	case Cut:
		return x.ID
	case Quit:
		return x.ID
	case Abort:
		return x.ID
	case Recycling:
		return x.ID
	case Kill:
		return x.ID
	}
	return ID{}
}
