package lastcall

import (
	"cmp"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// A plan is how one drain goes: what a Worker is set to, and what its
// supervisor asks for.
type plan struct {
	why     string
	roll    bool // a successor serves the same sockets
	quiesce bool // nobody does, and the sockets are ours alone
	hold    bool // when drained, wait for the supervisor's word
	ending  bool // the process ends with it, not only this Worker
	move    bool // siblings are there for the connections

	lameDuck   time.Duration
	lameQuiet  time.Duration
	timeout    time.Duration
	unwind     time.Duration
	expendable time.Duration
	policy     Policy
	leaving    leaving
}

// plan makes the plan for a drain that a signal or the application asks for.
func (w *Worker) plan(why string, supervised bool) plan {
	p := plan{
		why:        why,
		quiesce:    !supervised,
		lameDuck:   or(w.LameDuck, 0),
		lameQuiet:  or(w.LameDuckQuiet, 0),
		timeout:    or(w.DrainTimeout, defaultDrainTimeout),
		unwind:     or(w.UnwindTimeout, defaultUnwindTimeout),
		expendable: or(w.ExpendableGrace, 0),
		policy:     w.Policy,
		leaving: leaving{
			fresh: or(w.FreshGrace, defaultFreshGrace),
			stall: or(w.StallTimeout, defaultStallTimeout),
		},
	}
	if supervised {
		p.lameDuck = 0
	}
	if p.leaving.stall == 0 { // no patience at all would cut everybody
		p.leaving.stall = p.timeout
	}
	return p
}

// follow changes a plan to what the supervisor asks for.
func (p plan) follow(d *wire.Drain, own time.Duration) plan {
	p.why = "asked by the supervisor to " + cmp.Or(d.Reason, wire.ReasonStop)
	p.ending = true
	p.hold = d.Hold
	p.policy = policyOf(d.Policy, p.policy)
	p.timeout = shorter(d.Timeout, own)
	p.unwind = cmp.Or(d.UnwindTimeout, p.unwind)
	p.expendable = cmp.Or(d.ExpendableGrace, p.expendable)
	p.leaving.fresh = cmp.Or(d.FreshGrace, p.leaving.fresh)
	p.leaving.stall = cmp.Or(d.StallTimeout, p.leaving.stall)
	if p.roll = d.Reason == wire.ReasonRoll; p.roll {
		p.leaving.idle = rollLinger
		if p.move = d.Move; p.move {
			// Nobody else waits for the end of this process: a slow client may
			// finish its header as if nothing were going on.
			p.leaving.fresh = max(p.leaving.fresh, p.leaving.stall)
		}
	}
	return p
}

// shorter returns the drain timeout of a worker whose supervisor gives one, and
// that may have one of its own.
func shorter(given, own time.Duration) time.Duration {
	switch {
	case given <= 0:
		return or(own, defaultDrainTimeout)
	case own == 0:
		return given
	}
	return min(given, or(own, 0))
}
