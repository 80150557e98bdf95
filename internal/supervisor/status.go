package supervisor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/sock"
)

// Status implements control.Handler.
func (s *Supervisor) Status(ctx context.Context) (control.Status, error) {
	lists := s.list(ctx, 0, func(*life) bool { return true })
	var st control.Status
	if !s.call(ctx, func() { st = s.status(lists) }) {
		if err := ctx.Err(); err != nil {
			return st, err
		}
		return st, fmt.Errorf("read status: the supervisor has stopped")
	}
	return st, nil
}

func (s *Supervisor) status(lists map[pool.ID]*listing) control.Status {
	snap := s.core.Snapshot()
	st := control.Status{
		Name: s.config.Name, PID: os.Getpid(), Version: s.options.Version,
		Uptime: time.Since(s.began).Seconds(), State: string(snap.Phase),
	}
	if snap.Rolling && snap.Phase == pool.Running {
		st.State = "rolling"
	}
	for _, v := range snap.Listeners {
		l := s.listeners[v.Name]
		waiting := false
		if !l.closed {
			empty, err := l.Empty()
			waiting = err == nil && !empty
		}
		st.Listeners = append(st.Listeners, control.Listener{
			Name: v.Name, Address: l.Address().String(), State: v.State, Waiting: waiting,
		})
	}
	for _, p := range snap.Programs {
		program := control.Program{Name: p.Name, Generation: p.Generation, Wanted: p.Wanted}
		for _, slot := range p.Slots {
			program.Workers = append(program.Workers, s.workers(p.Name, slot, lists)...)
		}
		st.Programs = append(st.Programs, program)
	}
	return st
}

// workers returns the lives of a slot, or the slot itself if it has none.
func (s *Supervisor) workers(program string, slot pool.SlotView, lists map[pool.ID]*listing) []control.Worker {
	if len(slot.Lives) == 0 {
		w := control.Worker{
			Worker: worker(program, slot.Slot), Slot: slot.Slot, State: slot.State, Reason: slot.Why,
			Restarts: slot.Restarts, Accepting: "-", Inflight: -1,
		}
		if !slot.Retry.IsZero() {
			w.Left = time.Until(slot.Retry).Seconds()
		}
		return []control.Worker{w}
	}
	var out []control.Worker
	for _, v := range slot.Lives {
		l := s.lives[v.ID]
		w := control.Worker{
			Worker: v.ID.Worker(), Slot: slot.Slot, Life: v.ID.Life, PID: l.pid(), Generation: v.Generation,
			State: string(v.State), Reason: v.Why, Uptime: time.Since(v.Since).Seconds(), Restarts: slot.Restarts,
			Inflight: -1, Accepting: s.accepting(l, v), Status: l.status,
		}
		if q := lists[v.ID]; q != nil {
			w.Inflight = q.inflight.Critical + q.inflight.Expendable
		}
		if !v.Deadline.IsZero() {
			w.Left = time.Until(v.Deadline).Seconds()
		}
		if l.waiting != "" {
			w.Reason = "gate: " + l.waiting
		}
		out = append(out, w)
	}
	return out
}

// accepting tells whether a life still takes connections: by its own word if
// it has a channel, else by what can be seen of the process.
func (s *Supervisor) accepting(l *life, v pool.LifeView) string {
	if len(l.program.Listen) == 0 || l.process == nil {
		return "-"
	}
	answer := "no"
	for _, name := range l.program.Listen {
		ln := s.listeners[name]
		if ln.closed || slices.Contains(v.Closed, name) {
			continue
		}
		if l.hello && v.State == pool.LifeReady {
			return "yes"
		}
		switch yes, known := sock.Accepting(l.pid(), ln.Listener); {
		case yes:
			return "yes"
		case !known:
			answer = "unknown"
		}
	}
	return answer
}
