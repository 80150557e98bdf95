package pool

import (
	"slices"
	"time"
)

// The delays between the lives of a slot that crashes: none after the first
// crash in a restart window, then firstDelay, doubling up to maxDelay, each
// with up to half of it taken off by chance, so that slots that crashed
// together do not come back together.
const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 30 * time.Second
)

type slot struct {
	n          int
	generation int         // of its next life
	lives      []*life     // oldest first; more than one only during a roll
	retry      time.Time   // end of its backoff; zero: it does not wait
	crashes    []time.Time // within the restart window
	restarts   int         // ever
	failed     bool        // it gave up
	ended      bool        // its work is done: it needs no life any more
	stopped    bool        // by the operator
	why        string      // of its last crash
}

// current returns the newest life that is not on its way out, or nil.
func (s *slot) current() *life { return s.other(nil) }

// other returns the same, leaving one life out.
func (s *slot) other(than *life) *life {
	for _, l := range slices.Backward(s.lives) {
		if l != than && !l.leaving() {
			return l
		}
	}
	return nil
}

// serving returns the life that is ready, or nil; during a roll, the newest.
func (s *slot) serving() *life {
	for _, l := range slices.Backward(s.lives) {
		if l.state == LifeReady {
			return l
		}
	}
	return nil
}

// busy tells whether a life is in the slot that can still be waited for.
func (s *slot) busy() bool {
	return slices.ContainsFunc(s.lives, func(l *life) bool { return l.state != LifeStuck })
}

// leaving tells whether a life of the slot is on its way out and can still be
// waited for.
func (s *slot) leaving() bool {
	return slices.ContainsFunc(s.lives, func(l *life) bool { return l.leaving() && l.state != LifeStuck })
}

// vacant tells whether a life should be started in the slot now. A stuck life
// does not hold it: it will not end.
func (s *slot) vacant() bool {
	return !s.busy() && !s.failed && !s.ended && !s.stopped && s.retry.IsZero()
}

// start spawns the slot's next life.
func (p *Pool) start(now time.Time, pr *program, s *slot, generation int) *life {
	p.lives++
	l := &life{
		id:         ID{Program: pr.Name, Slot: s.n, Life: p.lives},
		generation: generation, state: LifeStarting,
		since: now, deadline: now.Add(pr.ReadyTimeout), needs: pr.DependsOn, listens: pr.Listeners,
		stopSignal: pr.StopSignal, stopSteps: pr.StopSteps, // a reload may change it for those to come
	}
	s.lives = append(s.lives, l)
	p.emit(Spawn{ID: l.id, Generation: generation, Workers: pr.wanted})
	return l
}

// crashed records the unasked end of the slot's life, and decides when the
// next one starts, or that none does.
func (p *Pool) crashed(now time.Time, pr *program, s *slot, l *life, why string) {
	s.why = why
	if done, failed := pr.ends(l); done || failed {
		s.ended, s.failed = done, failed
		p.emit(Ended{Program: pr.Name, Slot: s.n, Failed: failed})
		return
	}
	s.restarts++
	if !l.served {
		// The time it took not to come up is no stable time: with a long
		// ready timeout the window would never hold more than one crash.
		for i, t := range s.crashes {
			began := l.since
			if t.After(began) { // of another life in the slot, beside it
				began = t
			}
			s.crashes[i] = t.Add(now.Sub(began))
		}
	}
	s.crashes = append(s.crashes, now)
	s.crashes = slices.DeleteFunc(s.crashes, func(t time.Time) bool { return now.Sub(t) >= pr.RestartWindow })
	n := len(s.crashes)
	if n > pr.MaxRestarts {
		s.failed = true
		p.emit(GaveUp{Program: pr.Name, Slot: s.n})
		return
	}
	delay := p.backoff(n)
	s.retry = now.Add(delay)
	p.emit(Backoff{Program: pr.Name, Slot: s.n, Delay: delay, Crashes: n})
}

// backoff returns how long to wait after the nth crash in a window.
func (p *Pool) backoff(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	d := maxDelay
	if n < 12 {
		d = min(d, firstDelay<<(n-2))
	}
	return d - time.Duration(p.next()%uint64(d/2))
}

// next is the next number of the generator (SplitMix64).
func (p *Pool) next() uint64 {
	p.random += 0x9e3779b97f4a7c15
	z := p.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// away tells whether the operator has stopped all there is of the program.
func (pr *program) away() bool {
	for _, s := range pr.slots[:pr.wanted] {
		if !s.stopped && !s.failed && !s.ended {
			return false
		}
	}
	return true
}

// over tells whether no slot of the program serves or may come back by itself:
// all have failed or ended.
func (pr *program) over() (over, failed bool) {
	for _, s := range pr.slots[:min(pr.wanted, len(pr.slots))] {
		switch {
		case s.current() != nil:
			return false, false
		case s.failed:
			over, failed = true, true
		case s.ended:
			over = true
		case !s.stopped:
			return false, false
		}
	}
	return over, failed
}
