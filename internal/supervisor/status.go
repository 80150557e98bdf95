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
	looks := make(map[int][]*sock.Listener)
	var accepting func(int, []*sock.Listener) sock.Sight
	if !s.call(ctx, func() { st, accepting = s.status(lists, looks), s.system.accepting }) {
		if err := ctx.Err(); err != nil {
			return st, err
		}
		return st, fmt.Errorf("read status: the supervisor has stopped")
	}
	// Reading /proc takes its time, which the loop must not.
	for _, p := range st.Programs {
		for i, w := range p.Workers {
			if listeners := looks[w.PID]; w.PID != 0 && listeners != nil {
				p.Workers[i].Accepting = seen(accepting(w.PID, listeners))
			}
		}
	}
	return st, nil
}

func seen(s sock.Sight) string {
	switch s {
	case sock.Accepts:
		return "yes"
	case sock.AcceptsNot:
		return "no"
	case sock.Busy, sock.Unseen:
	}
	return "unknown"
}

// status fills looks with the processes that must be looked at to know whether
// they accept.
func (s *Supervisor) status(lists map[pool.ID]*listing, looks map[int][]*sock.Listener) control.Status {
	snap := s.core.Snapshot()
	st := control.Status{
		Name: s.config.Name, PID: os.Getpid(), Guard: s.guard.PID(), Version: s.options.Version, Upgrades: s.upgrades,
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
			Name: l.config.Name, Address: l.shown(), State: v.State, Waiting: waiting, Sockets: len(l.Numbers()), Each: l.config.Each,
		})
	}
	for _, p := range snap.Programs {
		program := control.Program{Name: p.Name, Generation: p.Generation, Wanted: p.Wanted}
		for _, slot := range p.Slots {
			program.Workers = append(program.Workers, s.workers(p.Name, slot, lists, looks)...)
		}
		st.Programs = append(st.Programs, program)
	}
	return st
}

// workers returns the lives of a slot, or the slot itself if it has none.
func (s *Supervisor) workers(program string, slot pool.SlotView, lists map[pool.ID]*listing, looks map[int][]*sock.Listener) []control.Worker {
	if len(slot.Lives) == 0 {
		w := control.Worker{
			Worker: worker(program, slot.Slot), Slot: slot.Slot, State: slot.State, Reason: slot.Why,
			Restarts: slot.Restarts, Accepting: "-", Inflight: -1,
		}
		if p := programNamed(s.config.Programs, program); p != nil {
			w.Addresses = s.addresses(p, s.coreNames(p.Listen), slot.Slot)
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
			Inflight: -1, Accepting: s.accepting(l, v, looks), Status: l.status,
			Addresses: s.addresses(l.program, l.program.Listen, slot.Slot),
		}
		if q := lists[v.ID]; q != nil {
			w.Inflight = q.inflight.Critical + q.inflight.Expendable
		}
		if !v.Deadline.IsZero() {
			w.Left = time.Until(v.Deadline).Seconds()
		}
		if l.reloads && v.State == pool.LifeReady {
			w.Reason = "reloading"
		}
		if l.lacks != "" && v.State == pool.LifeStarting {
			w.Reason = "not ready: " + l.lacks
		}
		if l.waiting != "" {
			w.Reason = "gate: " + l.waiting
		}
		out = append(out, w)
	}
	return out
}

// accepting tells whether a life still takes connections: by its own word if
// it has a channel, else it is to be looked at.
func (s *Supervisor) accepting(l *life, v pool.LifeView, looks map[int][]*sock.Listener) string {
	if len(l.program.Listen) == 0 || l.process == nil {
		return "-"
	}
	var open []string
	for _, name := range l.program.Listen {
		if ln := s.listeners[name]; !ln.closed && !slices.Contains(v.Closed, name) {
			open = append(open, name)
		}
	}
	switch {
	case len(open) == 0:
		return "no"
	case l.hello && v.State == pool.LifeReady:
		return "yes"
	}
	looks[l.pid()] = s.socketsOf(l, open)
	return "unknown"
}
