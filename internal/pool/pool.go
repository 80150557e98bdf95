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
	Ports       bool // each slot has an address of its own, also without a listener here
	MostWorkers int  // no scale goes beyond; 0: as many as one likes
	Gated       bool // a question is asked before a life may end
	StopCommand bool // a command is run before the stop signal is sent
	CloseSignal bool // one is sent first: who has it takes no newcomers, and its critical operations are waited for
	StopSignal  int  // a death by it, or exit status 128 more, is clean
	StopSteps   []StopStep

	ReadyTimeout  time.Duration
	ReadyBy       string        // what tells that a life is ready, for people
	DrainTimeout  time.Duration // from the request to end to the cut
	DrainMax      time.Duration // how long a life may make that by asking; less: it cannot
	UnwindTimeout time.Duration // from the cut to the end
	StopTimeout   time.Duration // from the stop command to the stop signal

	Restart       RestartPolicy // after an end that nobody asked for
	MaxRestarts   int           // in RestartWindow; one more, and the slot has failed
	RestartWindow time.Duration //

	MinUptime   time.Duration // a new life must have been ready so long before the old one is asked to end
	LameDuck    time.Duration // on the final stop its lives serve on for so long
	MaxSurge    int           // lives above Workers during a roll; 0: stop first
	MaxDraining int           // old lives draining at once during a roll; 0: Workers

	MaxAge       time.Duration // a life that has been ready so long is replaced; 0: never
	MaxAgeJitter time.Duration // up to so much is added to that by chance
	Watchdog     time.Duration // a life that gives no sign for so long is replaced; 0: not watched
}

// A StopStep is a signal that follows the stop signal, or the step before it,
// if the life has not ended by then.
type StopStep struct {
	After  time.Duration
	Signal int // a death by it is clean too
}

// RestartPolicy says when a slot gets a new life after an end that nobody asked
// for. Whatever it is, a life that exits with status 125 gets no successor.
type RestartPolicy string

// The policies.
const (
	Always    RestartPolicy = "always" // whatever the end was; so is ""
	OnFailure RestartPolicy = "on-failure"
	Never     RestartPolicy = "never"
)

// DoNotRestart is the exit status by which a life says that another one would
// fail as it did.
const DoNotRestart = 125

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
	newest     int       // the highest generation there ever was
	past       []version // what a rollback goes back to, the newest last
	next       *Program  // what a reload makes of it when the roll it asked for begins
	before     *Program  // what it was before the roll under way
	removed    bool      // by a reload: it ends when nobody needs it, and is forgotten
	behind     bool      // it is not what the last reload said: it was rolled back
	added      bool      // by a reload, and never up since
	wanted     int
	slots      []*slot
	needs      []*program
	ahead      []*program // needs, and what it or a life of it needed, or will need
	dependants []*program // those it is ahead of
	started    bool       // every slot was ready once since it was last held
	held       bool       // kept down by a hard restart until all it affects is down
	ending     bool       // the final stop has come to it
	lameUntil  time.Time  // it serves on although all is stopping
	lameOver   bool
}

// New returns a pool of programs that has not begun: nothing starts before the
// event Begin. It panics if a dependency is unknown or circular, which the
// configuration has ruled out.
func New(programs []Program, seed uint64) *Pool {
	p := &Pool{phase: Starting, random: seed}
	for _, c := range programs {
		p.add(c)
	}
	p.relate()
	for _, pr := range p.programs {
		if len(pr.needs) < len(pr.DependsOn) {
			panic("pool: circular dependency of " + pr.Name)
		}
	}
	return p
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
		if !pr.lameUntil.IsZero() {
			visit(&pr.lameUntil)
		}
		for _, s := range pr.slots {
			if !s.retry.IsZero() {
				visit(&s.retry)
			}
			for _, l := range s.lives {
				for _, d := range []*time.Time{&l.deadline, &l.proven, &l.retire, &l.silent, &l.settled, &l.escalate} {
					if !d.IsZero() {
						visit(d)
					}
				}
			}
		}
	}
}

// expire deals with every deadline that has passed, and tells whether there
// was one.
func (p *Pool) expire(now time.Time) bool {
	some := false
	passed := func(d *time.Time) bool {
		if d.IsZero() || now.Before(*d) {
			return false
		}
		some = true
		return true
	}
	clear := func(d *time.Time) bool {
		over := passed(d)
		if over {
			*d = time.Time{}
		}
		return over
	}
	for _, pr := range p.programs {
		for _, s := range pr.slots {
			clear(&s.retry)
			for _, l := range s.lives {
				clear(&l.proven)
				if clear(&l.silent) {
					p.unheard(now, pr, l, fmt.Sprintf("no sign of life for %v", l.watch))
				}
				if clear(&l.settled) {
					p.proceed(now, pr, l)
				}
				if clear(&l.escalate) {
					p.escalateNow(now, l)
				}
				if clear(&l.retire) {
					l.wear(fmt.Sprintf("max_age: ready for %v", pr.MaxAge))
				}
				if passed(&l.deadline) {
					p.expired(now, pr, s, l)
				}
			}
		}
	}
	return some
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
		p.settleWorn()
		p.settleRolls(now)
		p.settleRemoved(now)
		p.settlePeers()
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
		if pr.held || pr.goes() || !pr.mayStart() || p.needRolls(pr) {
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
		// One that the operator has stopped before it was up has yet to come up.
		over, failed := pr.over()
		if !pr.started && !pr.held && !pr.goes() && pr.mayStart() && pr.up() && (over || pr.serves()) {
			pr.started = true
			if !failed {
				pr.added = false
				p.emit(Up{Program: pr.Name})
			}
		}
		all = all && (pr.started || pr.removed)
	}
	if all && p.phase == Starting {
		p.phase = Running
		p.emit(AllUp{})
	}
}

// up tells whether every slot that should serve does.
func (pr *program) up() bool {
	for _, s := range pr.slots[:min(pr.wanted, len(pr.slots))] {
		if !s.stopped && !s.failed && !s.ended && s.serving() == nil {
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
