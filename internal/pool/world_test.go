package pool

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A world is what surrounds the core in a simulation: a clock, processes, and
// what the core has said of them. What it believes it has from the core's
// actions and its own events, so that it can hold the core against them.
type world struct {
	programs []Program
	pool     *Pool
	twin     *Pool             // is given the same events
	carry    func(*Pool) *Pool // and carried before each, unless nil
	now      time.Time
	seen     time.Time // when the core was last called
	before   Phase     // of the core, before the step

	alive     []*process // oldest first
	ended     []ID
	spawned   int                       // the highest number of a life
	up        map[string]bool           // programs that came up once
	listener  map[string]*listenerModel //
	backoff   map[string]*backoffModel  // by worker
	rolling   map[string]int            // by program: the generation it had before the step; 0: a roll was under way
	givenUp   map[string]bool           // by program: its last roll was left half done
	replies   map[int]int               // by token
	restarts  map[int]restarted         // by token
	crash     *process                  // its end is the event, and nobody has asked for it
	uncounted map[string]int            // by program: such ends that no slot counts, since its last roll
	lastEnd   map[string]int            // by worker: the youngest of its lives that have ended
	tokens    int
	nonsense  bool // the event cannot mean anything
	died      bool // something ended badly while all was stopping
	wasCut    bool // something was cut while all was stopping
	hurry     bool // the operator wants no waiting
	hurryAll  bool // and for all
	finished  bool

	rules  []invariant
	story  []entry
	lines  []string // of the programs
	broken *breach
}

// A breach is how an invariant was broken.
type breach struct{ invariant, how string }

func (b *breach) Error() string { return b.invariant + ": " + b.how }

// An entry is one step of the story.
type entry struct {
	wait    time.Duration // passed before
	event   Event
	actions []Action
}

// A process is what the world knows of a life.
type process struct {
	id         ID
	generation int
	state      State
	was        State // before that
	due        time.Time

	hello, saidReady, drained, exited bool // it did
	closed                            []string
	cut                               int
	ending                            bool // its end is being reported

	told     bool // asked to end, by whatever way
	asked    bool // over its channel
	hold     bool // and it is to wait for Quit
	atGate   bool // the gate is asked
	opened   bool // the gate has opened
	command  bool // its stop command runs
	signal   bool // it has its stop signal
	quit     bool // it was let go
	killed   bool
	replaced bool // a successor was its reason to be asked
}

// restarted is what a Restart was about, and what there was then.
type restarted struct {
	program string
	slot    int
	spawned int
}

type listenerModel struct{ quiescing, quiet, closed bool }

type backoffModel struct {
	until   time.Time
	at      time.Time // of the crash
	crashes int
}

func newWorld(lines []string) *world {
	w := &world{
		rules: invariants(), lines: lines, up: map[string]bool{}, replies: map[int]int{}, lastEnd: map[string]int{}, rolling: map[string]int{}, givenUp: map[string]bool{}, restarts: map[int]restarted{}, uncounted: map[string]int{},
		listener: map[string]*listenerModel{}, backoff: map[string]*backoffModel{},
	}
	var s stage
	for _, line := range lines {
		w.programs = append(w.programs, s.parseProgram(strings.Fields(line)[1:]))
	}
	w.pool, w.twin = New(w.programs, 1), New(w.programs, 1)
	w.now = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	w.seen = w.now
	for _, l := range w.pool.listeners {
		w.listener[l.name] = &listenerModel{}
	}
	return w
}

func (w *world) done() bool { return w.finished || w.broken != nil }

func (w *world) fail(invariant, format string, args ...any) {
	if w.broken == nil {
		w.broken = &breach{invariant, fmt.Sprintf(format, args...)}
	}
}

// guarded turns a panic of the core into the breach that it is.
func (w *world) guarded(f func()) {
	defer func() {
		if p := recover(); p != nil {
			w.fail("no impossible state", "%v", p)
		}
	}()
	f()
}

// step gives the core one event and holds what it does against every
// invariant: before each action what the world believes then, and after all.
func (w *world) step(e Event) {
	if w.done() {
		return
	}
	w.before = w.pool.phase
	for _, p := range w.programs {
		w.rolling[p.Name] = w.pool.program(p.Name).generation
		if w.rolls(w.pool.program(p.Name)) {
			w.rolling[p.Name] = 0
		}
	}
	w.story = append(w.story, entry{wait: w.now.Sub(w.seen), event: e})
	w.hear(e)
	actions := w.pool.Step(w.now, e)
	last := &w.story[len(w.story)-1]
	last.actions = actions
	for _, a := range actions {
		for _, inv := range w.rules {
			if inv.each != nil {
				inv.each(w, a)
			}
		}
		w.note(e, a)
	}
	for _, inv := range w.rules {
		if inv.after != nil {
			inv.after(w, last)
		}
	}
	w.seen = w.now
}

// hear notes what an event says of the world.
func (w *world) hear(e Event) {
	if stop, ok := e.(Stop); ok && stop.Now {
		w.hurry, w.hurryAll = true, w.hurryAll || stop.Program == ""
	}
	if r, ok := e.(Restart); ok {
		w.restarts[r.Token] = restarted{r.Program, r.Slot, w.spawned}
	}
	switch e := e.(type) {
	case Quiesced:
		if l := w.listener[e.Listener]; l != nil && l.quiescing {
			l.quiet = true
		}
	case Start, Restart, Scale, Stop: // they may end a backoff, a roll, and what led to them
		clear(w.backoff)
		clear(w.uncounted)
	}
	p := w.process(idOf(e))
	if p == nil {
		return
	}
	switch e := e.(type) {
	case Hello:
		p.hello = true
	case Ready:
		p.saidReady = true
	case Closed:
		p.closed = append(p.closed, e.Listeners...)
	case Drained:
		p.drained = true
		p.cut += e.Cut
	case GateOpen:
		p.opened = p.atGate
		p.atGate = false
	case Exited:
		p.exited = true
	case Gone:
		p.ending = true
		if !p.told && p.state != LifeStuck {
			w.crash = p
		}
		clean := p.drained || e.Exit == Exit{} || e.Exit.Signal == 15 || e.Exit.Code == 128+15
		w.judge(p, p.killed || !clean)
	}
}

func (w *world) judge(p *process, badly bool) {
	if w.before == Stopping && p.state != LifeStuck {
		w.died = w.died || badly
		w.wasCut = w.wasCut || p.cut > 0
	}
}

// note lets an action come true.
func (w *world) note(e Event, a Action) {
	switch a := a.(type) {
	case Spawn:
		w.spawned = a.ID.Life
		w.alive = append(w.alive, &process{id: a.ID, generation: a.Generation, state: LifeStarting, due: w.now.Add(w.program(a.ID).ReadyTimeout)})
	case Quiesce:
		w.listener[a.Listener].quiescing = true
	case CloseListener:
		w.listener[a.Listener].closed = true
	case Up:
		w.up[a.Program] = true
	case Backoff:
		w.backoff[ID{Program: a.Program, Slot: a.Slot}.Worker()] = &backoffModel{w.now.Add(a.Delay), w.now, a.Crashes}
	case Reply:
		w.replies[a.Token]++
	case Finish:
		w.finished = true
	default:
		if p := w.process(idOf(a)); p != nil {
			p.note(w, e, a)
		}
	}
}

// note lets an action on a life come true. What its deadline is then follows
// from the program's settings, by the words of the manual: not from the core.
func (p *process) note(w *world, e Event, a Action) {
	set := w.program(p.id)
	switch a := a.(type) {
	case Became:
		p.became(w, a.State)
	case Ask:
		p.told, p.asked, p.hold, p.due = true, true, a.Hold, w.now.Add(a.Timeout)
	case AskGate:
		if !p.asked { // else it has what is left of its own
			p.due = w.now.Add(set.DrainTimeout)
		}
		p.told, p.atGate = true, true
	case RunStopCommand:
		p.told, p.command, p.atGate, p.due = true, true, false, w.now.Add(set.StopTimeout)
	case Signal:
		_, died := e.(Exited)
		died = died && idOf(e) == p.id
		switch {
		case died && !p.told && !p.signal: // to the rest of a group that lost its head
			p.due, p.signal = w.now.Add(set.StopTimeout), true
			return
		case !died && p.atGate:
			p.due = w.now.Add(set.StopTimeout)
		case !died || p.command || !p.told:
			p.due = w.now.Add(set.DrainTimeout)
		}
		p.told, p.signal, p.command, p.atGate = true, true, false, false
	case Quit:
		p.quit = true
	case Kill:
		p.killed, p.due = true, w.now.Add(stuckAfter)
	}
}

func (p *process) became(w *world, to State) {
	p.was, p.state = p.state, to
	if to == LifeGone || to == LifeStuck {
		w.lastEnd[p.id.Worker()] = max(w.lastEnd[p.id.Worker()], p.id.Life)
	}
	switch to {
	case LifeReady, LifeStuck:
		p.due = time.Time{}
		if to == LifeStuck {
			p.was = LifeCutting
			w.died = w.died || w.before == Stopping
		}
	case LifeCutting:
		if p.was != LifeStarting { // that one is killed at once
			set := w.program(p.id)
			p.due = w.now.Add(set.UnwindTimeout + KillMargin)
		}
	case LifeGone:
		w.alive = slices.DeleteFunc(w.alive, func(o *process) bool { return o == p })
		w.ended = append(w.ended, p.id)
	}
}

// idOf returns the life that an event or action is about, or none.
func idOf(about any) ID {
	switch x := about.(type) {
	case Hello:
		return x.ID
	case Ready:
		return x.ID
	case Closed:
		return x.ID
	case Drained:
		return x.ID
	case GateOpen:
		return x.ID
	case CommandFailed:
		return x.ID
	case Exited:
		return x.ID
	case Gone:
		return x.ID
	case Became:
		return x.ID
	case Ask:
		return x.ID
	case AskGate:
		return x.ID
	case RunStopCommand:
		return x.ID
	case Signal:
		return x.ID
	case Cut:
		return x.ID
	case Quit:
		return x.ID
	case Kill:
		return x.ID
	}
	return ID{}
}

func (w *world) process(id ID) *process {
	i := slices.IndexFunc(w.alive, func(p *process) bool { return p.id == id })
	if i < 0 {
		return nil
	}
	return w.alive[i]
}

func (w *world) program(id ID) Program {
	return w.programs[slices.IndexFunc(w.programs, func(p Program) bool { return p.Name == id.Program })]
}

// serves tells whether a life of the program, or of one slot of it, is ready
// and was not asked to end.
func (w *world) serves(program string, slot int) bool {
	return slices.ContainsFunc(w.alive, func(p *process) bool {
		return p.id.Program == program && (slot < 0 || p.id.Slot == slot) && p.state == LifeReady && !p.ending
	})
}

// lives tells whether anything of the program is left that will ever end.
func (w *world) lives(program string) bool {
	return slices.ContainsFunc(w.alive, func(p *process) bool {
		return p.id.Program == program && p.state != LifeStuck && !p.ending
	})
}

func (p *process) leaving() bool { return p.state != LifeStarting && p.state != LifeReady }

// stopping tells whether the core, after the step, starts nothing any more.
func (w *world) stopping() bool { return w.pool.phase == Stopping || w.pool.phase == Finished }
