package lastcall

import (
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// A lameDuck is the time in which a worker that is to stop goes on serving while
// clients and load balancers find out.
type lameDuck struct {
	quietFor time.Duration // with no request for so long it is over; 0: not by itself
	lookAt   time.Time     // whether that is so; zero: never
	arrived  int64         // at the last look
	over     bool
}

// beginLameDuck says that the worker is not ready any more, and has responses
// ask their clients to go.
func (r *run) beginLameDuck(quiet time.Duration) {
	r.worker.ready.Store(false)
	for _, j := range r.groups[0].jobs {
		j.ask()
	}
	r.lame = lameDuck{quietFor: quiet, arrived: r.groups[0].ledgers[0].arrivals()}
	if quiet > 0 {
		r.lame.lookAt = time.Now().Add(quiet)
	}
}

// tend looks whether it has become quiet, and reports true when it has, once.
func (d *lameDuck) tend(now time.Time, arrived int64) bool {
	if !passed(d.lookAt, now) {
		return false
	}
	if arrived != d.arrived {
		d.arrived, d.lookAt = arrived, now.Add(d.quietFor)
		return false
	}
	d.over, d.lookAt = true, time.Time{}
	return true
}

// lameDuck serves on for a while if the worker is set to. Under a supervisor
// that comes before the order to drain.
func (r *run) lameDuck() {
	defer func() { r.lame = lameDuck{} }()
	if r.plan.lameDuck == 0 || r.cutNow {
		r.worker.ready.Store(false)
		return
	}
	r.log.Info("lame duck: still serving, not ready any more", "reason", r.plan.why, "for", r.plan.lameDuck)
	r.beginLameDuck(r.plan.lameQuiet)
	end := time.Now().Add(r.plan.lameDuck)
	r.until(func() bool { return r.cutNow || r.lame.over }, &end)
}

// tendLameDuck tells the supervisor, if it is that which waits, that no more
// requests come.
func (r *run) tendLameDuck(now time.Time) {
	if r.lame.tend(now, r.groups[0].ledgers[0].arrivals()) && r.link != nil {
		r.link.send(wire.Message{Quiet: &wire.Quiet{}})
	}
}
