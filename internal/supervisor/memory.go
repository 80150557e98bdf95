package supervisor

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
)

// trimAfter is how long after its programs have come up, or a roll, a supervisor
// gives back what it needed for that.
const trimAfter = time.Second

// trimSoon has memory given back when things have calmed down. Within another
// program it is not ours to give.
func (s *Supervisor) trimSoon() {
	switch {
	case s.options.Upgrade == nil:
	case s.trimmer == nil:
		s.trimmer = time.AfterFunc(trimAfter, proc.Trim)
	default:
		s.trimmer.Reset(trimAfter)
	}
}

// memoryEvery is how often the workers' memory is looked at, if a program has a
// limit to it: there is no event for that.
const memoryEvery = 10 * time.Second

// watchMemory has the workers' memory looked at for as long as one of them has a
// limit to it; it is called for each that may be the first. Without one nothing
// wakes a supervisor at rest.
func (s *Supervisor) watchMemory(p *Program) {
	if p.MaxMemory == 0 || s.watching {
		return
	}
	s.watching = true
	go func() {
		look := time.NewTicker(memoryEvery)
		defer look.Stop()
		for {
			select {
			case <-s.done:
				return
			case <-look.C:
				if !s.lookAtMemory() {
					return
				}
			}
		}
	}()
}

// maxMemory returns how much memory the life may use, in bytes; 0: as much as it
// likes. What is added to the limit is no chance but the number of the life times
// the golden ratio, less the whole: of lives that follow each other it is far
// apart, which chance would not promise, and an upgrade does not change it.
func (l *life) maxMemory() int64 {
	limit := l.program.MaxMemory
	if limit == 0 {
		return 0
	}
	_, share := math.Modf(float64(l.id.Life) * math.Phi)
	return limit + int64(share*float64(l.program.MaxMemoryJitter))
}

// lookAtMemory tells whether there was anything to look at. It reads /proc aside:
// that takes its time, which the loop must not.
func (s *Supervisor) lookAtMemory() bool {
	type limited struct {
		id    pool.ID
		pid   int
		limit int64
	}
	ctx := context.Background()
	var all []limited
	var memory func(pid int) int64
	s.call(ctx, func() {
		memory = s.system.memory
		for id, l := range s.lives {
			if limit := l.maxMemory(); limit > 0 && l.process != nil {
				all = append(all, limited{id, l.process.Pid(), limit})
			}
		}
		s.watching = len(all) > 0
	})
	for _, l := range all {
		if used := memory(l.pid); used > l.limit {
			why := fmt.Sprintf("max_memory: uses %d of %d MiB", used>>20, l.limit>>20)
			s.call(ctx, func() { s.step(pool.Worn{ID: l.id, Why: why}) })
		}
	}
	return len(all) > 0
}
