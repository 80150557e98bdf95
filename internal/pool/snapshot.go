package pool

import (
	"slices"
	"time"
)

// A Snapshot is the state at one moment, for people. It shares nothing with
// the pool.
type Snapshot struct {
	Phase     Phase
	Rolling   bool
	Listeners []ListenerView
	Programs  []ProgramView
}

// ListenerView is one listener: "open", "quiesced" or "closed".
type ListenerView struct {
	Name  string
	State string
}

// ProgramView is one program, in start order.
type ProgramView struct {
	Name       string
	Generation int
	Wanted     int
	Slots      []SlotView
}

// SlotView is one slot and its lives, the oldest first. State and Why tell of
// a slot without a life: "waiting", "failed", "ended", "stopped" or "empty".
type SlotView struct {
	Slot     int
	State    string
	Why      string
	Retry    time.Time
	Restarts int
	Lives    []LifeView
}

// LifeView is one life.
type LifeView struct {
	ID         ID
	Generation int
	State      State
	Why        string
	Since      time.Time // it was spawned
	Deadline   time.Time // of its state; zero: none
	Closed     []string  // listeners it has closed
	AtGate     bool      // the gate is being asked
	Closing    bool      // it has its close signal, and not yet its stop signal
	Told       bool      // it was told to end, and that was the last word; or it ends unasked
	Sent       int       // of the signals that follow the stop signal
	Escalate   time.Time // when the next of them comes; zero: none
}

// Phase returns where the whole pool is.
func (p *Pool) Phase() Phase { return p.phase }

// Generations returns the generations of a program that may still get lives;
// none for one that does not exist.
func (p *Pool) Generations(name string) []int {
	pr := p.program(name)
	if pr == nil {
		return nil
	}
	out := []int{pr.generation}
	for _, v := range pr.past {
		out = append(out, v.generation)
	}
	for _, r := range p.rolls {
		if r.program == pr && r.undo != nil {
			out = append(out, r.undo.generation)
		}
	}
	for _, s := range pr.slots {
		out = append(out, s.generation)
	}
	return out
}

// Snapshot returns the state.
func (p *Pool) Snapshot() Snapshot {
	snap := Snapshot{Phase: p.phase, Rolling: len(p.rolls) > 0}
	for _, l := range p.listeners {
		snap.Listeners = append(snap.Listeners, ListenerView{Name: l.name, State: l.state.String()})
	}
	for _, pr := range p.programs {
		view := ProgramView{Name: pr.Name, Generation: pr.generation, Wanted: pr.wanted}
		for _, s := range pr.slots {
			if s.n < pr.wanted || len(s.lives) > 0 {
				view.Slots = append(view.Slots, s.view())
			}
		}
		snap.Programs = append(snap.Programs, view)
	}
	return snap
}

func (s *slot) view() SlotView {
	v := SlotView{Slot: s.n, State: "empty", Why: s.why, Retry: s.retry, Restarts: s.restarts}
	switch {
	case s.failed:
		v.State = "failed"
	case s.ended:
		v.State = "ended"
	case s.stopped:
		v.State = "stopped"
	case !s.retry.IsZero():
		v.State = "waiting"
	}
	for _, l := range s.lives {
		v.Lives = append(v.Lives, l.view())
	}
	return v
}

func (l *life) view() LifeView {
	v := LifeView{
		ID: l.id, Generation: l.generation, State: l.state, Why: l.why,
		Since: l.since, Deadline: l.deadline, Closed: slices.Clone(l.closed),
		AtGate: l.step == atGate || l.step == held, Sent: l.sent, Escalate: l.escalate,
	}
	switch l.step {
	case emptying, atGate, commanded:
		v.Closing = l.closeSent && l.state == LifeDraining
		v.Told = l.state == LifeCutting
	case signalled, asked, held, byItself:
		v.Told = l.leaving()
	case notAsked:
		v.Told = l.exited || l.state == LifeCutting
	}
	return v
}

// Life returns one life; the zero LifeView if there is none.
func (p *Pool) Life(id ID) LifeView {
	if _, _, l := p.life(id); l != nil {
		return l.view()
	}
	return LifeView{}
}
