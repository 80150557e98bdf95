package pool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// StateFormat is the format of the Saved that this build writes. One that it
// cannot read has a higher number.
const StateFormat = 1

// Saved is a Pool as plain data, to be carried to another process. Operators'
// commands are not in it: their answers could not be given there.
type Saved struct {
	Format    int
	Phase     Phase
	Programs  []ProgramState
	Listeners []ListenerState
	Rolls     []RollState
	Lives     int
	Random    uint64
	Ending    Verdict
}

// ProgramState is a program in a Saved.
type ProgramState struct {
	Program
	Generation, Newest int
	Past               []VersionState
	Next, Before       *Program
	Removed, Added     bool
	Behind             bool
	Wanted             int
	Slots              []SlotState
	Started, Ending    bool
}

// VersionState is what a program was in one generation.
type VersionState struct {
	Generation int
	Program    Program
}

// SlotState is a slot in a Saved.
type SlotState struct {
	Generation             int
	Lives                  []LifeState
	Retry                  time.Time
	Crashes                []time.Time
	Restarts               int
	Failed, Ended, Stopped bool
	Why                    string
}

// LifeState is a life in a Saved.
type LifeState struct {
	ID                              ID
	Generation                      int
	State                           State
	Since, Deadline                 time.Time
	Proven, Retire, Silent          time.Time
	Watch                           time.Duration
	Worn                            string
	Hung                            bool
	Step                            string
	Reason                          Reason
	StopSignal                      int // 0: that of the program
	StopSteps                       []StopStep
	Settled, Escalate, Latest       time.Time
	Sent                            int
	CloseSent, Busy, OwnWatch       bool
	Channel, Moves, Hold            bool
	Met                             []Meeting
	Needs, Listens, Closed          []string
	Drained, Exited, Served, Killed bool
	Cut                             int
	GateShut                        bool
	Why                             string
}

// ListenerState is a listener in a Saved. Who uses it follows from the rest.
type ListenerState struct {
	Name  string
	State int
}

// RollState is a roll in a Saved.
type RollState struct {
	Program       string
	Items         []ItemState
	All, Rollback bool
	Only          ID
	Undo          *VersionState
	Began, Back   bool
	Same          bool
	Verdict       Verdict
}

// ItemState is one slot of a roll; Next is the number of a life, 0 for none.
type ItemState struct {
	Slot, From, To, Next int
	Done                 bool
}

// Waiting tells whether an operator waits for an answer.
func (p *Pool) Waiting() bool {
	for _, c := range p.commands {
		if c.token != 0 {
			return true
		}
	}
	return false
}

// Reloading tells whether a restart or a reload is under way that nobody waits
// for an answer to.
func (p *Pool) Reloading() bool {
	for _, c := range p.commands {
		if c.token == 0 && (c.kind == cmdRoll || c.kind == cmdReload) {
			return true
		}
	}
	return false
}

// Save returns the state. It shares nothing with the pool that the pool would
// still change. It fails while an operator waits, and once the pool is
// stopping.
func (p *Pool) Save() (Saved, error) {
	switch {
	case p.Waiting():
		return Saved{}, errors.New("save state: somebody waits for an answer")
	case p.phase != Starting && p.phase != Running:
		return Saved{}, fmt.Errorf("save state: it is %s", p.phase)
	}
	s := Saved{Format: StateFormat, Phase: p.phase, Lives: p.lives, Random: p.random, Ending: p.ending}
	for _, pr := range p.programs {
		s.Programs = append(s.Programs, pr.save())
	}
	for _, l := range p.listeners {
		s.Listeners = append(s.Listeners, ListenerState{l.name, int(l.state)})
	}
	for _, r := range p.rolls {
		s.Rolls = append(s.Rolls, r.save())
	}
	return s, nil
}

func (pr *program) save() ProgramState {
	s := ProgramState{
		Program: pr.Program, Generation: pr.generation, Newest: pr.newest, Next: pr.next, Before: pr.before,
		Removed: pr.removed, Added: pr.added, Behind: pr.behind, Wanted: pr.wanted, Started: pr.started, Ending: pr.ending,
	}
	for _, v := range pr.past {
		s.Past = append(s.Past, VersionState{v.generation, v.program})
	}
	for _, sl := range pr.slots {
		s.Slots = append(s.Slots, sl.save())
	}
	return s
}

func (s *slot) save() SlotState {
	out := SlotState{
		Generation: s.generation, Retry: s.retry, Crashes: slices.Clone(s.crashes), Restarts: s.restarts,
		Failed: s.failed, Ended: s.ended, Stopped: s.stopped, Why: s.why,
	}
	for _, l := range s.lives {
		out.Lives = append(out.Lives, LifeState{
			ID: l.id, Generation: l.generation, State: l.state, Since: l.since, Deadline: l.deadline,
			Proven: l.proven, Retire: l.retire, Silent: l.silent, Watch: l.watch, Worn: l.worn, Hung: l.hung,
			Step: string(l.step), Reason: l.reason, StopSignal: l.stopSignal, Channel: l.channel, Moves: l.moves, Met: slices.Clone(l.met), Hold: l.hold,
			Needs: l.needs, Listens: l.listens, Closed: slices.Clone(l.closed),
			Drained: l.drained, Exited: l.exited, Served: l.served, Killed: l.killed,
			Cut: l.cut, GateShut: l.gateShut, Why: l.why,
			StopSteps: l.stopSteps, Settled: l.settled, Escalate: l.escalate, Latest: l.latest, Sent: l.sent,
			CloseSent: l.closeSent, Busy: l.busy, OwnWatch: l.ownWatch,
		})
	}
	return out
}

func (r *roll) save() RollState {
	s := RollState{
		Program: r.program.Name, All: r.all, Rollback: r.rollback, Only: r.only,
		Began: r.began, Back: r.back, Same: r.same, Verdict: r.verdict,
	}
	if r.undo != nil {
		s.Undo = &VersionState{r.undo.generation, r.undo.program}
	}
	for _, it := range r.slots {
		item := ItemState{Slot: it.slot.n, From: it.from, To: it.to, Done: it.done}
		if it.next != nil {
			item.Next = it.next.id.Life
		}
		s.Items = append(s.Items, item)
	}
	return s
}

// Restore returns the pool that was saved. An error means that the
// state is not one that this build can go on from.
func Restore(s Saved) (p *Pool, err error) {
	if s.Format < 1 || s.Format > StateFormat {
		return nil, fmt.Errorf("restore state: format %d, and this build knows 1 to %d", s.Format, StateFormat)
	}
	if s.Phase != Starting && s.Phase != Running {
		return nil, fmt.Errorf("restore state: phase %q", s.Phase)
	}
	p = &Pool{phase: s.Phase, lives: s.Lives, random: s.Random, ending: s.Ending}
	for _, ps := range s.Programs {
		if p.program(ps.Name) != nil {
			return nil, fmt.Errorf("restore state: two programs %q", ps.Name)
		}
		pr, err := ps.restore()
		if err != nil {
			return nil, err
		}
		p.programs = append(p.programs, pr)
	}
	for _, l := range s.Listeners {
		if l.State < int(open) || l.State > int(shut) {
			return nil, fmt.Errorf("restore state: listener %q is in state %d", l.Name, l.State)
		}
		p.listeners = append(p.listeners, &listener{name: l.Name, state: listenerState(l.State)})
	}
	for _, rs := range s.Rolls {
		r, err := p.restoreRoll(rs)
		if err != nil {
			return nil, err
		}
		p.rolls = append(p.rolls, r)
	}
	defer func() { // of relations that are no configuration's
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("restore state: %v", r)
		}
	}()
	p.relate()
	return p, nil
}

func (s ProgramState) restore() (*program, error) {
	pr := &program{
		Program: s.Program, generation: s.Generation, newest: s.Newest, next: s.Next, before: s.Before,
		removed: s.Removed, added: s.Added, behind: s.Behind, wanted: s.Wanted, started: s.Started, ending: s.Ending,
	}
	if s.Wanted < 0 || s.Wanted > len(s.Slots) {
		return nil, fmt.Errorf("restore state: %s wants %d workers and has %d slots", s.Name, s.Wanted, len(s.Slots))
	}
	for _, v := range s.Past {
		pr.past = append(pr.past, version{v.Generation, v.Program})
	}
	for n, ss := range s.Slots {
		sl := &slot{
			n: n, generation: ss.Generation, retry: ss.Retry, crashes: ss.Crashes, restarts: ss.Restarts,
			failed: ss.Failed, ended: ss.Ended, stopped: ss.Stopped, why: ss.Why,
		}
		for _, ls := range ss.Lives {
			if !slices.Contains(States(), ls.State) || ls.ID.Program != s.Name || ls.ID.Slot != n {
				return nil, fmt.Errorf("restore state: life %s is %q in slot %s.%d", ls.ID, ls.State, s.Name, n)
			}
			// Builds before did not write it.
			ls.StopSignal = cmp.Or(ls.StopSignal, s.StopSignal)
			sl.lives = append(sl.lives, ls.restore())
		}
		pr.slots = append(pr.slots, sl)
	}
	return pr, nil
}

func (s LifeState) restore() *life {
	return &life{
		id: s.ID, generation: s.Generation, state: s.State, since: s.Since, deadline: s.Deadline,
		proven: s.Proven, retire: s.Retire, silent: s.Silent, watch: s.Watch, worn: s.Worn, hung: s.Hung,
		step: step(s.Step), reason: s.Reason, stopSignal: s.StopSignal, channel: s.Channel, moves: s.Moves, met: s.Met, hold: s.Hold,
		needs: s.Needs, listens: s.Listens, closed: s.Closed,
		drained: s.Drained, exited: s.Exited, served: s.Served, killed: s.Killed,
		cut: s.Cut, gateShut: s.GateShut, why: s.Why,
		stopSteps: s.StopSteps, settled: s.Settled, escalate: s.Escalate, latest: s.Latest, sent: s.Sent,
		closeSent: s.CloseSent, busy: s.Busy, ownWatch: s.OwnWatch,
	}
}

func (p *Pool) restoreRoll(s RollState) (*roll, error) {
	pr := p.program(s.Program)
	if pr == nil {
		return nil, fmt.Errorf("restore state: a roll of %q, which does not exist", s.Program)
	}
	r := &roll{
		program: pr, all: s.All, rollback: s.Rollback, only: s.Only, began: s.Began, back: s.Back, same: s.Same, verdict: s.Verdict,
	}
	if s.Undo != nil {
		r.undo = &version{s.Undo.Generation, s.Undo.Program}
	}
	for _, is := range s.Items {
		if is.Slot < 0 || is.Slot >= len(pr.slots) {
			return nil, fmt.Errorf("restore state: a roll of %s.%d, which does not exist", s.Program, is.Slot)
		}
		it := item{slot: pr.slots[is.Slot], from: is.From, to: is.To, done: is.Done}
		if is.Next > 0 {
			it.next = &life{state: LifeGone} // unless it is still there
		}
		for _, l := range it.slot.lives {
			if l.id.Life == is.Next {
				it.next = l
			}
		}
		r.slots = append(r.slots, it)
	}
	return r, nil
}
