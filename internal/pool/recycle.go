package pool

import (
	"fmt"
	"slices"
	"time"
)

// recycleAgain is how long a life that is to be replaced serves on after its
// successor has not come up, before another one is tried.
const recycleAgain = time.Minute

// recycle has a life replaced as a roll of its slot would do it: after what is
// rolled now, and only when its successor is ready. What others depend on
// cannot be replaced under them.
func (p *Pool) recycle(pr *program, l *life, why string) {
	asked := slices.ContainsFunc(p.rolls, func(r *roll) bool { return r.only == l.id })
	if l.state != LifeReady || p.phase == Stopping || pr.removed || pr.inUse() != nil || asked {
		return
	}
	l.worn, l.retire = why, time.Time{}
	p.emit(Recycling{ID: l.id, Why: why})
	p.rolls = append(p.rolls, &roll{program: pr, only: l.id, slots: []item{{slot: pr.slots[l.id.Slot]}}})
}

// aged has a life replaced that is as old as it may be, or was to be replaced
// before and could not.
func (p *Pool) aged(pr *program, l *life) {
	if l.worn == "" {
		l.worn = fmt.Sprintf("max_age: ready for %v", pr.MaxAge)
	}
	p.recycle(pr, l, l.worn)
}

// alive takes a life's sign to its watchdog.
func (p *Pool) alive(now time.Time, id ID) bool {
	_, _, l := p.life(id)
	if l == nil || l.state != LifeReady {
		return false
	}
	if l.watch > 0 {
		l.silent, l.hung = now.Add(l.watch), false
	}
	return true
}

// unheard deals with a life that has given no sign in time. Its successor
// comes first; where there can be none, its end is a crash.
func (p *Pool) unheard(now time.Time, pr *program, l *life) {
	why := fmt.Sprintf("watchdog: no sign of life for %v", l.watch)
	l.hung = true
	if pr.inUse() != nil {
		l.worn = why
		p.abort(now, pr, l)
		return
	}
	p.recycle(pr, l, why)
	l.worn = why
}
