// Package pool is the core of the supervisor: a pure state machine that
// decides which process starts, which is asked to end, which is killed, and
// what the operator is told. It knows no process, socket or clock: Step is
// given the time and one event, and returns the actions to carry out.
//
//	        start                 Ready                drain
//	(slot) ───────▶ starting ──────────────▶ ready ──────────▶ draining ─▶ gone
//	                   │                                          │ deadline
//	                   │ not ready in time                        ▼
//	                   └────────────────────────────────────▶ cutting ───▶ gone
//	                                                              │ killed, lives on
//	                                                              ▼
//	                                                            stuck
//
// Between two lives a slot is waiting (for the end of its backoff), failed
// (it gave up) or stopped (by the operator). Everything that must happen
// later is a deadline in the state, so the shell needs one timer and a stale
// timer cannot exist. All loops run in the order of programs and slots, and
// chance comes from a seed in the state: the same events give the same actions.
//
// A Pool is not safe for concurrent use: one goroutine owns it.
package pool

import (
	"fmt"
	"slices"
	"time"
)

// ID names one life: one process in one slot of one program. The number of a
// life is never used again, so an event about a life that has ended can never
// be taken for its successor's.
type ID struct {
	Program string
	Slot    int
	Life    int
}

// Worker returns the name operators use, "web.2".
func (id ID) Worker() string { return fmt.Sprintf("%s.%d", id.Program, id.Slot) }

func (id ID) String() string { return fmt.Sprintf("%s.%d#%d", id.Program, id.Slot, id.Life) }

// Program is what the core must know of one program of the configuration.
type Program struct {
	Name        string
	Workers     int
	DependsOn   []string
	Listeners   []string
	Gated       bool // a question is asked before a life may end
	StopCommand bool // a command is run before the stop signal is sent
	StopSignal  int  // a death by it, or exit status 128 more, is clean

	ReadyTimeout  time.Duration
	DrainTimeout  time.Duration // from the request to end to the cut
	UnwindTimeout time.Duration // from the cut to the end
	StopTimeout   time.Duration // from the stop command to the stop signal

	MaxRestarts   int           // in RestartWindow; one more, and the slot has failed
	RestartWindow time.Duration //
	MaxSurge      int           // lives above Workers during a roll; 0: stop first
	MaxDraining   int           // old lives draining at once during a roll; 0: Workers
}

// KillMargin is how long after the end of its unwind time a life is killed, so
// that a cut the worker itself reports is never confused with a kill.
const KillMargin = 500 * time.Millisecond

// stuckAfter is how long a killed life may take to disappear. SIGKILL ends a
// process unless it hangs in the kernel; then nothing more can be done.
const stuckAfter = 10 * time.Second

// Phase is where the whole pool is.
type Phase string

// The phases of a pool, in their order.
const (
	Starting Phase = "starting" // until every program was ready once
	Running  Phase = "running"
	Stopping Phase = "stopping" // nothing starts any more
	Finished Phase = "finished"
)

// Pool is the state. Make one with New.
type Pool struct {
	phase     Phase
	programs  []*program // a program stands behind all it depends on
	listeners []*listener
	rolls     []*roll // the first one is under way
	commands  []*command
	lives     int    // how many were ever started
	random    uint64 // state of the generator for jitter
	hurry     bool   // the stop was told to cut what is in progress
	ending    Verdict
	out       []Action
}

type program struct {
	Program
	generation int
	wanted     int
	slots      []*slot
	needs      []*program
	dependants []*program
	started    bool // every slot was ready once since it was last held
	held       bool // kept down by a hard restart until all it affects is down
	ending     bool // the final stop has come to it
}

// New returns a pool of programs that has not begun: nothing starts before the
// event Begin. It panics if a dependency is unknown or circular, which the
// configuration has ruled out.
func New(programs []Program, seed uint64) *Pool {
	p := &Pool{phase: Starting, random: seed}
	for len(p.programs) < len(programs) {
		before := len(p.programs)
		for i := range programs {
			p.place(programs[i])
		}
		if len(p.programs) == before {
			panic("pool: unknown or circular dependency")
		}
	}
	for _, pr := range p.programs {
		for _, name := range pr.Listeners {
			l := p.listener(name)
			if l == nil {
				l = &listener{name: name}
				p.listeners = append(p.listeners, l)
			}
			l.users = append(l.users, pr)
		}
	}
	return p
}

// place appends a program whose dependencies have all been placed.
func (p *Pool) place(c Program) {
	if p.program(c.Name) != nil {
		return
	}
	pr := &program{Program: c, generation: 1, wanted: c.Workers}
	for _, name := range c.DependsOn {
		need := p.program(name)
		if need == nil {
			return
		}
		pr.needs = append(pr.needs, need)
	}
	for _, need := range pr.needs {
		need.dependants = append(need.dependants, pr)
	}
	pr.resize(c.Workers)
	p.programs = append(p.programs, pr)
}

func (pr *program) resize(n int) {
	for len(pr.slots) < n {
		pr.slots = append(pr.slots, &slot{n: len(pr.slots), generation: pr.generation})
	}
}

// Step takes in one event at the time now and returns what is to be done, in
// order. Time must not go backwards. An event that names a life that has
// ended, or makes no sense now, changes nothing; that is recorded by an
// Ignored action. After Step no deadline is in the past.
func (p *Pool) Step(now time.Time, e Event) []Action {
	p.out = nil
	if p.phase != Finished {
		p.take(now, e)
		for again := true; again && p.phase != Finished; {
			// What one part has done may be what another waits for.
			before := len(p.out)
			p.settle(now)
			again = p.expire(now) || len(p.out) > before
		}
	}
	return p.out
}

// Deadline returns when Step wants to be called with a Tick if no event comes
// first, and false if it does not.
func (p *Pool) Deadline() (time.Time, bool) {
	var first time.Time
	p.deadlines(func(d *time.Time) {
		if first.IsZero() || d.Before(first) {
			first = *d
		}
	})
	return first, !first.IsZero()
}

// deadlines visits every deadline that is set.
func (p *Pool) deadlines(visit func(*time.Time)) {
	if p.phase == Finished {
		return
	}
	for _, pr := range p.programs {
		for _, s := range pr.slots {
			if !s.retry.IsZero() {
				visit(&s.retry)
			}
			for _, l := range s.lives {
				if !l.deadline.IsZero() {
					visit(&l.deadline)
				}
			}
		}
	}
}

// expire deals with every deadline that has passed, and tells whether there
// was one.
func (p *Pool) expire(now time.Time) bool {
	any := false
	for _, pr := range p.programs {
		for _, s := range pr.slots {
			if !s.retry.IsZero() && !now.Before(s.retry) {
				s.retry, any = time.Time{}, true
			}
			for _, l := range s.lives {
				if !l.deadline.IsZero() && !now.Before(l.deadline) {
					any = true
					p.expired(now, pr, s, l)
				}
			}
		}
	}
	return any
}

// settle brings the state forward until nothing more follows from it. It asks
// what is true, never what has just happened, so that no order of events can
// leave a step out.
func (p *Pool) settle(now time.Time) {
	if p.phase == Stopping {
		p.settleStop(now)
	} else {
		p.settleHeld(now)
		p.settleStart()
		p.settleSlots(now)
		p.settleRolls(now)
	}
	p.settleListeners()
	p.settleCommands()
	if p.phase == Stopping && p.empty() {
		p.finish()
	}
}

// settleSlots starts a life in every slot that should have one and does not.
func (p *Pool) settleSlots(now time.Time) {
	for _, pr := range p.programs {
		if pr.held || !pr.mayStart() || p.needRolls(pr) {
			continue
		}
		for _, s := range pr.slots {
			if s.vacant() && s.n < pr.wanted && !p.rolling(pr, s) {
				p.start(now, pr, s, s.generation)
			}
		}
	}
}

// needRolls tells whether something the program needs is being rolled in a way
// that nobody may use it meanwhile.
func (p *Pool) needRolls(pr *program) bool {
	return len(p.rolls) > 0 && p.rolls[0].began && slices.Contains(pr.needs, p.rolls[0].program) && !p.rolls[0].program.overlaps()
}

func (pr *program) mayStart() bool {
	for _, need := range pr.needs {
		if !need.started || !need.serves() {
			return false
		}
	}
	return true
}

// settleStart notes which programs have come up.
func (p *Pool) settleStart() {
	all := true
	for _, pr := range p.programs {
		if !pr.started && !pr.held && pr.mayStart() && pr.up() {
			pr.started = true
			p.emit(Up{Program: pr.Name})
		}
		all = all && pr.started
	}
	if all && p.phase == Starting {
		p.phase = Running
		p.emit(AllUp{})
	}
}

// up tells whether every slot that should serve does.
func (pr *program) up() bool {
	for _, s := range pr.slots[:min(pr.wanted, len(pr.slots))] {
		if !s.stopped && !s.failed && s.serving() == nil {
			return false
		}
	}
	return true
}

// down tells whether no life of the program is left but those that cannot be
// killed.
func (pr *program) down() bool {
	for _, s := range pr.slots {
		if s.busy() {
			return false
		}
	}
	return true
}

func (p *Pool) empty() bool {
	for _, pr := range p.programs {
		if !pr.down() {
			return false
		}
	}
	return true
}

func (p *Pool) finish() {
	p.phase = Finished
	for _, c := range p.commands {
		p.reply(c, p.ending)
	}
	p.commands = nil
	p.emit(Finish{Verdict: p.ending})
}

func (p *Pool) emit(a Action) { p.out = append(p.out, a) }

func (p *Pool) program(name string) *program {
	for _, pr := range p.programs {
		if pr.Name == name {
			return pr
		}
	}
	return nil
}

// life finds a life that has not ended.
func (p *Pool) life(id ID) (*program, *slot, *life) {
	pr := p.program(id.Program)
	if pr == nil || id.Slot < 0 || id.Slot >= len(pr.slots) {
		return nil, nil, nil
	}
	s := pr.slots[id.Slot]
	for _, l := range s.lives {
		if l.id == id {
			return pr, s, l
		}
	}
	return nil, nil, nil
}
