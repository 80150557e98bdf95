package supervisor

import (
	"cmp"
	"context"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/pool"
)

// progress tells of every life that is on its way out what it waits for.
func (s *Supervisor) progress(ctx context.Context) []control.Progress {
	lists := s.list(ctx, 1, func(*life) bool { return true })
	var out []control.Progress
	s.call(ctx, func() { out = s.leaving(lists) })
	return out
}

// leaving describes the lives that start or end, in order of slots.
func (s *Supervisor) leaving(lists map[pool.ID]*listing) []control.Progress {
	var out []control.Progress
	for _, p := range s.core.Snapshot().Programs {
		for _, slot := range p.Slots {
			for _, v := range slot.Lives {
				if v.State == pool.LifeReady {
					continue
				}
				out = append(out, s.waitsFor(v, lists[v.ID]))
			}
		}
	}
	return out
}

func (s *Supervisor) waitsFor(v pool.LifeView, q *listing) control.Progress {
	p := control.Progress{Worker: v.ID.Worker(), State: string(v.State)}
	if !v.Deadline.IsZero() {
		p.Left = max(0, time.Until(v.Deadline))
	}
	l := s.lives[v.ID]
	switch {
	case v.AtGate && l.waiting != "":
		p.Waiting = "gate " + l.waiting
	case v.AtGate:
		p.Waiting = "its gate"
	case v.State == pool.LifeStarting:
		p.Waiting = cmp.Or(l.lacks, l.program.readiness())
	case q != nil && len(q.operations) > 0:
		p.Waiting, p.Count = name(q.operations[0]), q.inflight.Critical
	}
	return p
}

// talkDue logs what a drain waits for, when it is time to.
func (s *Supervisor) talkDue() {
	if s.talk.IsZero() || time.Now().Before(s.talk) {
		return
	}
	if !s.draining() {
		s.talk = time.Time{}
		return
	}
	s.talk = time.Now().Add(progressTick)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
		defer cancel()
		list := s.progress(ctx)
		s.call(ctx, func() { s.told.waits = waiting(list) })
		for _, p := range list {
			s.log.Info("waiting", "worker", p.Worker, "state", p.State, "for", p.Waiting, "operations", p.Count, "left", p.Left.Round(100*time.Millisecond))
		}
	}()
}

func (s *Supervisor) draining() bool {
	for _, p := range s.core.Snapshot().Programs {
		for _, slot := range p.Slots {
			for _, v := range slot.Lives {
				if v.State == pool.LifeDraining || v.State == pool.LifeCutting {
					return true
				}
			}
		}
	}
	return false
}
