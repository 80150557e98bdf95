package pool

import (
	"fmt"
	"slices"
	"time"
)

// State is where a life is.
type State string

// The states of a life.
const (
	LifeStarting State = "starting" // spawned, not ready
	LifeReady    State = "ready"    // serves
	LifeDraining State = "draining" // asked to end, or ending by itself
	LifeCutting  State = "cutting"  // its deadline has passed, or it is being killed
	LifeStuck    State = "stuck"    // killed, and still there: reported, and left
	LifeGone     State = "gone"     // the process and its group have ended
)

// States returns all states, in the order a life goes through them.
func States() []State {
	return []State{LifeStarting, LifeReady, LifeDraining, LifeCutting, LifeStuck, LifeGone}
}

// Next returns the states that may follow s.
func (s State) Next() []State {
	switch s {
	case LifeStarting:
		return []State{LifeReady, LifeDraining, LifeCutting, LifeGone}
	case LifeReady:
		return []State{LifeDraining, LifeCutting, LifeGone}
	case LifeDraining:
		return []State{LifeCutting, LifeGone}
	case LifeCutting:
		return []State{LifeStuck, LifeGone}
	case LifeStuck:
		return []State{LifeGone}
	case LifeGone:
		return nil
	}
	panic("pool: unknown state " + string(s))
}

// step is how far the asking of a draining life has come. What the deadline of
// the life means follows from it.
type step string

const (
	notAsked  step = ""          // its process has ended, and others of its group have not
	byItself  step = "itself"    // it has said that it ends
	emptying  step = "emptying"  // it has its close signal, and work; then the gate, or the stop signal
	atGate    step = "gate"      // the gate is asked; then the stop signal
	commanded step = "command"   // the stop command runs; then the stop signal
	signalled step = "signalled" // it has its stop signal
	asked     step = "asked"     // it was told over its channel
	held      step = "held"      // it has drained, and holds until the gate opens
)

type life struct {
	id         ID
	generation int
	state      State
	since      time.Time     // it was spawned
	deadline   time.Time     // of its state and step
	proven     time.Time     // while it is ready: end of its minimum uptime
	retire     time.Time     // while it is ready: when it is to be replaced
	watch      time.Duration // how long its watchdog waits, as it was told
	ownWatch   bool          // it has said that itself
	silent     time.Time     // while it is ready: end of the watchdog's patience
	settled    time.Time     // end of what it may take to obey its close signal, and to say what it does
	escalate   time.Time     // when the next of its stop signals comes
	latest     time.Time     // while it drains: up to when it may put off what comes next
	worn       string        // why it is to be replaced; "": it is not
	hung       bool          // it gives no sign of life
	exit       Exit          // once it is gone
	step       step
	reason     Reason
	stopSignal int // of the program when it was spawned, or since a reload that did not roll it
	stopSteps  []StopStep
	sent       int       // how many of those
	closeSent  bool      // it has its close signal
	busy       bool      // it has critical operations, by its own word
	channel    bool      // it said Hello
	moves      bool      // it hands connections on, and takes them
	met        []Meeting // since it drains
	hold       bool      // it was asked to wait for Quit when it has drained
	needs      []string  // what its program depended on
	listens    []string  // the listeners it was given
	closed     []string  // those it has closed its copies of
	drained    bool      // it reported so: nothing is open any more
	exited     bool      // the process has ended, its group has not
	served     bool      // it was ready once
	lame       bool      // it was told to serve on as a lame duck
	quiet      bool      // as such it gets no more requests
	killed     bool
	cut        int    // operations it cut
	gateShut   bool   // the gate did not open before its deadline
	why        string // for people
}

// become moves the life on. Only the moves of the diagram exist.
func (p *Pool) become(l *life, to State, why string) {
	if !slices.Contains(l.state.Next(), to) {
		panic(fmt.Sprintf("pool: %s cannot go from %s to %s", l.id, l.state, to))
	}
	l.state, l.why = to, why
	if to != LifeReady {
		l.proven, l.retire, l.silent = time.Time{}, time.Time{}, time.Time{}
	}
	if to != LifeDraining {
		l.settled, l.escalate = time.Time{}, time.Time{}
	}
	p.emit(Became{ID: l.id, State: to, Why: why})
}

// leaving tells whether the life is on its way out.
func (l *life) leaving() bool { return l.state != LifeStarting && l.state != LifeReady }

// drain asks a life to end, by the way it understands. A life that has been
// asked is not asked again, but told when there is nobody any more to whom it
// could leave its clients.
func (p *Pool) drain(now time.Time, pr *program, l *life, reason Reason, why string) {
	if l.step == asked && l.state == LifeDraining && l.reason == ForRoll && reason == ForStop && !l.drained && !l.exited && now.Before(l.deadline) {
		l.reason = reason
		p.emit(Ask{ID: l.id, Reason: reason, Timeout: l.deadline.Sub(now), Hold: l.hold})
		return
	}
	if l.step != notAsked || l.leaving() && l.state != LifeDraining {
		return
	}
	if l.hung && l.state == LifeReady {
		l.step, l.reason = signalled, reason
		p.abort(now, pr, l)
		return
	}
	wasReady := l.state == LifeReady
	if l.state != LifeDraining {
		p.become(l, LifeDraining, why)
	}
	l.reason, l.latest = reason, now.Add(max(pr.DrainMax, pr.DrainTimeout))
	switch {
	case l.channel && !l.exited:
		l.step, l.hold, l.deadline = asked, pr.Gated, now.Add(pr.DrainTimeout)
		p.emit(Ask{ID: l.id, Reason: reason, Timeout: pr.DrainTimeout, Hold: pr.Gated,
			Move: reason == ForRoll && p.followed(pr, l)})
	case pr.CloseSignal && wasReady && !l.exited:
		// It takes nobody any more: so its gate can be asked on a roll too.
		l.step, l.closeSent = emptying, true
		l.deadline, l.settled = now.Add(pr.DrainTimeout), now.Add(CloseMoment)
		p.emit(Close{ID: l.id})
	case pr.Gated && wasReady && reason == ForStop && !l.exited:
		l.step, l.deadline = atGate, now.Add(pr.DrainTimeout)
		p.emit(AskGate{ID: l.id})
	default:
		p.signal(now, pr, l, pr.DrainTimeout)
	}
}

// signal asks a life that has no channel: by the stop command if there is one
// and it has not been tried, then by the stop signal, which it has timeout to
// obey.
func (p *Pool) signal(now time.Time, pr *program, l *life, timeout time.Duration) {
	if pr.StopCommand && l.step != commanded && !l.exited {
		l.step, l.deadline = commanded, now.Add(pr.StopTimeout)
		p.emit(RunStopCommand{ID: l.id})
		return
	}
	l.step, l.deadline, l.sent = signalled, now.Add(timeout), 0
	p.emit(Signal{ID: l.id, Signal: l.stopSignal})
	l.arm(now)
}

// expired deals with the deadline of a life.
func (p *Pool) expired(now time.Time, pr *program, s *slot, l *life) {
	switch l.state {
	case LifeStarting:
		p.kill(now, l, pr.notReady(l.deadline.Sub(l.since)))
	case LifeDraining:
		switch l.step {
		case atGate:
			l.gateShut = true
			p.signal(now, pr, l, pr.StopTimeout)
		case emptying:
			l.gateShut = pr.Gated
			p.signal(now, pr, l, pr.StopTimeout)
		case commanded:
			p.signal(now, pr, l, pr.DrainTimeout)
		case held:
			l.gateShut = true
			p.emit(Quit{ID: l.id})
			p.cutting(now, pr, l, "drain timeout")
		default:
			p.cutting(now, pr, l, "drain timeout")
		}
	case LifeCutting:
		if l.killed {
			l.deadline = time.Time{}
			p.become(l, LifeStuck, fmt.Sprintf("still there %v after it was killed", stuckAfter))
			p.lost(now, pr, s, l, p.verdict(pr, l, Exit{}))
			return
		}
		p.kill(now, l, "did not end in time")
	case LifeReady, LifeStuck, LifeGone:
		panic(fmt.Sprintf("pool: %s is %s and has a deadline", l.id, l.state))
	}
}

// notReady says what a life has not done in time.
func (pr *program) notReady(within time.Duration) string {
	text := fmt.Sprintf("not ready within %v", within)
	if pr.ReadyBy != "" {
		text += ": waited for " + pr.ReadyBy
	}
	return text
}

// cutting gives a life the time it needs to end by itself after its deadline,
// and no more.
func (p *Pool) cutting(now time.Time, pr *program, l *life, why string) {
	p.become(l, LifeCutting, why)
	l.deadline = now.Add(pr.UnwindTimeout + KillMargin)
}

// abort ends a life that gives no sign, by a signal after which it may still
// leave a trace of what it hung in.
func (p *Pool) abort(now time.Time, pr *program, l *life) {
	p.become(l, LifeCutting, l.worn)
	l.deadline = now.Add(pr.StopTimeout)
	p.emit(Abort{ID: l.id})
}

// kill ends a life and its group.
func (p *Pool) kill(now time.Time, l *life, why string) {
	if l.state != LifeCutting {
		p.become(l, LifeCutting, why)
	}
	l.killed, l.why, l.deadline = true, why, now.Add(stuckAfter)
	p.emit(Kill{ID: l.id})
}

// cutNow ends the waiting for a life that has been asked to end.
func (p *Pool) cutNow(now time.Time, pr *program, l *life) {
	switch {
	case l.state != LifeDraining:
	case l.step == asked:
		p.emit(Cut{ID: l.id})
		p.cutting(now, pr, l, "told to stop now")
	case l.step == held:
		l.deadline = now
	default:
		// It has as long as one with a channel to end by itself.
		l.gateShut = l.step == atGate || l.step == emptying && pr.Gated
		if last, more := l.lastSignal(); l.step != signalled || more {
			l.step, l.sent = signalled, len(l.stopSteps)
			p.emit(Signal{ID: l.id, Signal: last})
		}
		p.cutting(now, pr, l, "told to stop now")
	}
}

// verdict judges how a life ended.
func (p *Pool) verdict(pr *program, l *life, e Exit) Verdict {
	v := Verdict{Life: l.id}
	clean := l.drained || e == Exit{} || l.stoppedBy(e)
	switch {
	case l.killed:
		v.Outcome, v.Text = Died, fmt.Sprintf("%s was killed: %s", l.id.Worker(), l.why)
	case l.step == notAsked && pr.finished(l):
		v.Text = fmt.Sprintf("%s %s", l.id.Worker(), e)
	case l.step == notAsked && !(clean && p.phase == Stopping): // somebody else has told it
		v.Outcome, v.Text = Died, fmt.Sprintf("%s %s", l.id.Worker(), e)
	case !clean:
		v.Outcome, v.Text = Died, fmt.Sprintf("%s %s while draining", l.id.Worker(), e)
	case l.gateShut || l.step == held:
		v.Outcome, v.Text = WasCut, fmt.Sprintf("%s ended though its gate was not open", l.id.Worker())
	case l.cut > 0:
		v.Outcome, v.Text = WasCut, fmt.Sprintf("work of %s was cut: %s", l.id.Worker(), l.why)
	case l.busy:
		v.Outcome, v.Text = WasCut, fmt.Sprintf("%s ended with work in progress", l.id.Worker())
	case l.step == byItself:
		v.Text = fmt.Sprintf("%s %s, as it said", l.id.Worker(), e)
	}
	return v
}

// ends tells whether the slot gets no new life after this one, which nobody
// asked to end: because it has done its work, or because it has failed.
func (pr *program) ends(l *life) (done, failed bool) {
	well := l.drained || l.exit == Exit{} && !l.killed
	switch {
	case l.exit.Code == DoNotRestart && !l.drained:
		return false, true
	case pr.Restart == Never:
		return well, !well
	case pr.Restart == OnFailure:
		return well, false
	}
	return false, false
}

func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("was killed by signal %d", e.Signal)
	}
	return fmt.Sprintf("exited with status %d", e.Code)
}
