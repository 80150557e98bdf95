package pool

import "time"

// CloseMoment is how long a life may take, from its close signal on, to close its
// listener and to say what it still does. Before that its silence means nothing;
// and of two signals that are sent at once the kernel delivers the lower number
// first, whichever it is.
const CloseMoment = 250 * time.Millisecond

// arm sets when the next of a life's stop signals comes.
func (l *life) arm(now time.Time) {
	l.escalate = time.Time{}
	if l.sent < len(l.stopSteps) {
		l.escalate = now.Add(l.stopSteps[l.sent].After)
	}
}

// escalateNow sends a life the next of its stop signals.
func (p *Pool) escalateNow(now time.Time, l *life) {
	p.emit(Signal{ID: l.id, Signal: l.stopSteps[l.sent].Signal})
	l.sent++
	l.arm(now)
}

// lastSignal returns the last of a life's stop signals, which is for those who
// want no waiting, and whether it has others before it that are still to come.
func (l *life) lastSignal() (last int, more bool) {
	if n := len(l.stopSteps); n > 0 {
		return l.stopSteps[n-1].Signal, l.sent < n
	}
	return l.stopSignal, false
}

// stoppedBy tells whether an end is that by a stop signal.
func (l *life) stoppedBy(e Exit) bool {
	by := func(signal int) bool { return e.Signal == signal || e.Code == 128+signal }
	for _, s := range l.stopSteps {
		if by(s.Signal) {
			return true
		}
	}
	return by(l.stopSignal)
}

// proceed goes on with a life that has its close signal and no work any more.
func (p *Pool) proceed(now time.Time, pr *program, l *life) {
	switch {
	case l.state != LifeDraining || l.step != emptying || l.busy || !l.settled.IsZero():
	case pr.Gated:
		l.step = atGate // and has what is left of its time
		p.emit(AskGate{ID: l.id})
	default:
		p.signal(now, pr, l, pr.DrainTimeout)
	}
}

// working takes a life's word on whether it has critical operations.
func (p *Pool) working(now time.Time, pr *program, l *life, is bool) {
	l.busy = is
	p.proceed(now, pr, l)
}

// extend puts off what comes next to a life that starts or drains, if it would
// come before that: for a life that drains not beyond what its program allows,
// and nothing that follows from a deadline that has passed.
func (p *Pool) extend(now time.Time, l *life, by time.Duration) {
	until := now.Add(by)
	switch {
	case l.state == LifeStarting:
	case l.state != LifeDraining:
		return
	case until.After(l.latest):
		until = l.latest
	}
	later := false
	for _, d := range []*time.Time{&l.deadline, &l.escalate} {
		if !d.IsZero() && until.After(*d) {
			*d, later = until, true
		}
	}
	if later {
		p.emit(PutOff{ID: l.id})
	}
}

// endsItself takes a life's word that it ends. It serves nobody any more, and
// has its drain timeout for that; nobody needs to ask it. One with a channel
// says by that what it does, and is to be asked.
func (p *Pool) endsItself(now time.Time, pr *program, l *life) {
	if l.channel || l.leaving() {
		return
	}
	p.become(l, LifeDraining, "it says that it ends")
	l.step, l.deadline, l.latest = byItself, now.Add(pr.DrainTimeout), now.Add(max(pr.DrainMax, pr.DrainTimeout))
}

// own tells whether nobody has asked the life to end.
func (l *life) own() bool { return l.step == notAsked || l.step == byItself }
