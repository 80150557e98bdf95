package pool

import (
	"slices"
	"time"
)

// recycleAgain is how long a life that is to be replaced serves on after its
// successor has not come up, before another one is tried.
const recycleAgain = time.Minute

// settleWorn has every life replaced that is worn, as a roll of its slot would
// do it: after what is rolled now, and only when its successor is ready. What
// others depend on cannot be replaced under them, and waits.
func (p *Pool) settleWorn() {
	for _, pr := range p.programs {
		if pr.removed || pr.inUse() != nil {
			continue
		}
		for _, s := range pr.slots {
			for _, l := range s.lives {
				asked := slices.ContainsFunc(p.rolls, func(r *roll) bool { return r.only == l.id })
				if l.worn == "" || l.state != LifeReady || !l.retire.IsZero() || asked {
					continue
				}
				p.emit(Recycling{ID: l.id, Why: l.worn})
				p.rolls = append(p.rolls, &roll{program: pr, only: l.id, slots: []item{{slot: s}}})
			}
		}
	}
}

// wear notes that a life is to be replaced. The first reason is the one.
func (l *life) wear(why string) {
	if l.state == LifeReady && l.worn == "" {
		l.worn, l.retire = why, time.Time{}
	}
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

// watched takes a life's own word on how long its watchdog is to wait. Before it
// is ready that is kept for when it is.
func (l *life) watched(now time.Time, every time.Duration) {
	l.watch, l.ownWatch, l.silent = every, true, time.Time{}
	if l.state == LifeReady && every > 0 {
		l.silent = now.Add(every)
	}
}

// sick takes a life's own word that it hangs.
func (p *Pool) sick(now time.Time, id ID) bool {
	pr, _, l := p.life(id)
	if l == nil || l.state != LifeReady {
		return false
	}
	l.silent = time.Time{}
	p.unheard(now, pr, l, "it says that it hangs")
	return true
}

// unheard deals with a life that has given no sign in time. Its successor
// comes first; where there can be none, its end is a crash.
func (p *Pool) unheard(now time.Time, pr *program, l *life, why string) {
	l.hung = true
	l.worn, l.retire = "watchdog: "+why, time.Time{}
	if pr.inUse() != nil {
		p.abort(now, pr, l)
	}
}
