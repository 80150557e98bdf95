package supervisor

import (
	"slices"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/wire"
)

// maxWork bounds how many operations a life without a channel may have in
// progress: one that begins and never ends must not fill the memory.
const maxWork = 10_000

// work is what a life does by its notifications. The zero value is that of one
// that has said nothing. It is the loop's alone.
type work struct {
	told     bool        // it has said something: that it does nothing is known
	open     []operation // the oldest first
	critical int         // how many of them are
	refused  bool        // there were too many once
}

type operation struct {
	Name  string
	Class wire.Class
	Began time.Time
}

// savedWork is work in a handover.
type savedWork struct {
	Open    []operation
	Refused bool
}

func (w *work) save() *savedWork {
	if !w.told {
		return nil
	}
	return &savedWork{w.open, w.refused}
}

func (w *work) restore(saved *savedWork) {
	if saved == nil {
		return
	}
	*w = work{told: true, open: saved.Open, refused: saved.Refused}
	for _, o := range w.open {
		w.count(o, 1)
	}
}

func (w *work) count(o operation, n int) {
	if o.Class == wire.Critical {
		w.critical += n
	}
}

// mark takes one begin or end, and returns false if it is one begin too many. An
// end of what has not begun changes nothing.
func (w *work) mark(m wire.Mark, now time.Time) bool {
	w.told = true
	if m.Begin {
		if len(w.open) >= maxWork {
			return false
		}
		o := operation{m.Name, m.Class, now}
		w.open = append(w.open, o)
		w.count(o, 1)
		return true
	}
	if i := slices.IndexFunc(w.open, func(o operation) bool { return o.Name == m.Name }); i >= 0 {
		w.count(w.open[i], -1)
		w.open = slices.Delete(w.open, i, i+1)
	}
	return true
}

// list returns at the most so many operations, those that hold a drain first.
func (w *work) list(worker string, most int) []control.Operation {
	var out []control.Operation
	now := time.Now()
	for _, class := range []wire.Class{wire.Critical, wire.Expendable} {
		for _, o := range w.open {
			if len(out) == most {
				return out
			}
			if o.Class == class {
				out = append(out, control.Operation{Worker: worker, Name: o.Name, Class: string(o.Class), Age: now.Sub(o.Began)})
			}
		}
	}
	return out
}

// mark takes what a life says of its operations. One with a channel says that
// there.
func (s *Supervisor) mark(l *life, marks []wire.Mark) {
	if len(marks) == 0 || l.hello {
		return
	}
	busy, now := l.work.critical > 0, time.Now()
	for _, m := range marks {
		if !l.work.mark(m, now) && !l.work.refused {
			l.work.refused = true
			s.log.Warn("too many operations in progress, more are not noted; does it send X_LASTCALL_END?", "worker", l.id.Worker(), "life", l.id.Life, "operations", maxWork, "name", m.Name)
		}
	}
	s.tellBusy(l, busy)
}

// forgetWork lets go of what a life has said before it opened its channel.
func (s *Supervisor) forgetWork(l *life) {
	busy := l.work.critical > 0
	l.work = work{}
	s.tellBusy(l, busy)
}

// tellBusy tells the core, and the guard, when a life has its first critical
// operation, and when it has none any more.
func (s *Supervisor) tellBusy(l *life, before bool) {
	if is := l.work.critical > 0; is != before {
		l.guardBusy()
		s.step(pool.Busy{ID: l.id, Is: is})
	}
}

// guardBusy tells the guard what it needs to know only of a life that would be
// asked in two steps: for others it would be a message for each operation.
func (l *life) guardBusy() {
	if l.program.CloseSignal != 0 {
		l.guarded.Busy(l.work.critical > 0)
	}
}

// cutShort names what a life that ends in a drain has not brought to an end.
func (l *life) cutShort() {
	if l.state == pool.LifeDraining || l.state == pool.LifeCutting {
		l.cut = append(l.cut, l.work.list(l.id.Worker(), l.work.critical)...)
	}
}

// listWork is a life's answer to what is asked of those with a channel over it.
// It returns nil for one that has never said what it does.
func (l *life) listWork(most int) *listing {
	if !l.work.told {
		return nil
	}
	q := &listing{whole: make(chan struct{}), answered: true, operations: l.work.list(l.id.Worker(), most)}
	q.inflight = wire.Inflight{Critical: l.work.critical, Expendable: len(l.work.open) - l.work.critical}
	q.end()
	return q
}
