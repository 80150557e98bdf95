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
	config   *stage   // what the configuration says now
	declared []string // lines that have changed it since the last step
	pool     *Pool
	twin     *Pool             // is given the same events
	carry    func(*Pool) *Pool // and carried before each, unless nil
	now      time.Time
	seen     time.Time // when the core was last called
	before   Phase     // of the core, before the step
	rolled   *roll     // the first roll of the core, before the step

	sets        map[string]settings        // by program
	versions    map[string]map[int]Program // by program and generation
	stable      map[string]Program         // what each was when no roll of it was under way
	loaded      Reload                     // the last that was not refused
	over        map[string]bool            // by worker: it needs no life any more, or must not get one
	alive       []*process                 // oldest first
	ended       []ID
	spawned     int                       // the highest number of a life
	up          map[string]bool           // programs that came up once
	lameSince   map[string]time.Time      // by program: it serves on although all is stopping
	listener    map[string]*listenerModel //
	backoff     map[string]*backoffModel  // by worker
	replies     map[int]int               // by token
	restarts    map[int]restarted         // by token
	crash       *process                  // its end is the event, and nobody has asked for it
	uncounted   map[string]int            // by program: such ends that no slot counts, since its last roll
	lastEnd     map[string]int            // by worker: the youngest of its lives that have ended
	halved      map[string]bool           // programs that a reload has removed half way through a roll
	tokens      int
	nonsense    bool // the event cannot mean anything
	died        bool // something ended badly while all was stopping
	rollingBack bool // an operator has asked for it
	mayHave     bool // in the step in which that began
	wasCut      bool // something was cut while all was stopping
	hurry       bool // the operator wants no waiting
	hurryAll    bool // and for all
	finished    bool

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
	declared []string      // before
	wait     time.Duration // passed before
	event    Event
	actions  []Action
}

// restarted is what a Restart was about, and what there was then.
type restarted struct {
	programs []string
	slot     int
	spawned  int
}

type listenerModel struct{ quiescing, quiet, closed bool }

type backoffModel struct {
	until   time.Time
	at      time.Time // of the crash
	crashes int
}

func newWorld(lines []string) *world {
	w := &world{
		rules: invariants(), lines: lines, up: map[string]bool{}, replies: map[int]int{}, lastEnd: map[string]int{}, versions: map[string]map[int]Program{}, restarts: map[int]restarted{}, uncounted: map[string]int{},
		lameSince: map[string]time.Time{}, listener: map[string]*listenerModel{}, backoff: map[string]*backoffModel{}, over: map[string]bool{}, halved: map[string]bool{},
		sets: map[string]settings{}, stable: map[string]Program{}, config: &stage{},
	}
	for _, line := range lines {
		w.config.declare(strings.Fields(line))
	}
	w.loaded.Programs = w.config.programs
	w.pool, w.twin = New(w.config.programs, 1), New(w.config.programs, 1)
	w.now = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	w.seen = w.now
	for _, l := range w.pool.listeners {
		w.listener[l.name] = &listenerModel{}
	}
	w.look(Begin{})
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
	w.before, w.rolled = w.pool.phase, nil
	if len(w.pool.rolls) > 0 && w.pool.rolls[0].began {
		w.rolled = w.pool.rolls[0]
	}
	w.story = append(w.story, entry{declared: w.declared, wait: w.now.Sub(w.seen), event: e})
	w.declared = nil
	w.hear(e)
	actions := w.pool.Step(w.now, e)
	w.look(e)
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
	w.losePatience()
}

// settings are those of a program before a step and after it: which of them an
// action within has followed cannot be seen from outside.
type settings struct {
	before, after Program
	surge         int // the greatest max_surge ever: a reload that allows fewer ends none
}

func (s settings) either(is func(Program) bool) bool { return is(s.before) || is(s.after) }

func (s settings) both(is func(Program) bool) bool { return is(s.before) && is(s.after) }

// look notes what programs are now.
func (w *world) look(e Event) {
	_, reloads := e.(Reload)
	for name, s := range w.sets {
		s.before = s.after
		w.sets[name] = s
	}
	for _, pr := range w.pool.programs {
		s, known := w.sets[pr.Name]
		if s.after = pr.Program; !known {
			s.before = s.after
			w.versions[pr.Name] = map[int]Program{}
		}
		s.surge = max(s.surge, pr.MaxSurge)
		w.sets[pr.Name] = s
		w.versions[pr.Name][pr.generation] = pr.Program
		if reloads && pr.next == nil && !(w.rolls(pr) && w.pool.rolls[0].all && !w.pool.rolls[0].same) {
			for generation := range w.versions[pr.Name] { // what changes at once does so for all
				w.versions[pr.Name][generation] = pr.Program
			}
		}
		if w.rolls(pr) && w.pool.rolls[0].undo != nil {
			v := w.pool.rolls[0].undo
			w.versions[pr.Name][v.generation] = v.program
		}
	}
}

// losePatience is what the watchdogs do.
func (w *world) losePatience() {
	for _, p := range w.alive {
		if p.state == LifeReady && !p.silent.IsZero() && !p.silent.After(w.now) {
			p.hung, p.silent = true, time.Time{}
		}
	}
}

// hear notes what an event says of the world.
func (w *world) hear(e Event) {
	if stop, ok := e.(Stop); ok && stop.Now {
		w.hurry, w.hurryAll = true, w.hurryAll || stop.Program == ""
	}
	if r, ok := e.(Restart); ok {
		about := restarted{[]string{r.Program}, r.Slot, w.spawned}
		for name, set := range w.sets {
			if pr, _ := w.core(ID{Program: name}); r.Program == "" && len(set.after.Listeners) > 0 && !pr.removed {
				about.programs = append(about.programs, name)
			}
		}
		w.restarts[r.Token] = about
	}
	switch e := e.(type) {
	case Quiesced:
		if l := w.listener[e.Listener]; l != nil && l.quiescing {
			l.quiet = true
		}
	case Rollback:
		w.rollingBack = true
		clear(w.uncounted)
	case Reload:
		if w.before != Stopping {
			w.loaded = e
			w.halve(e)
		}
	}
	switch e.(type) {
	case Start, Restart, Scale, Stop, Reload: // they may end a backoff, a roll, and what led to them
		clear(w.backoff)
		if _, stops := e.(Stop); !stops {
			clear(w.over)
		}
		clear(w.uncounted)
	}
	p := w.process(idOf(e))
	if p == nil {
		return
	}
	switch e := e.(type) {
	case Hello:
		p.hello, p.moves = true, e.Moves
	case Lost:
		p.lose(e.Peer)
	case Quiet:
		p.quiet = p.lame
	case Ready:
		p.saidReady = true
		if set := w.program(p.id); p.state == LifeStarting {
			if !p.ownWatch {
				p.watch = set.Watchdog
			}
			p.proven, p.silent = w.now.Add(set.MinUptime), w.now.Add(p.watch)
			if set.MaxAge > 0 {
				p.old = w.now.Add(set.MaxAge)
				p.retire = p.old.Add(set.MaxAgeJitter)
			}
			if p.watch == 0 {
				p.silent = time.Time{}
			}
		}
	case Alive:
		if p.watch > 0 {
			p.hung, p.silent = false, w.now.Add(p.watch)
		}
	case Hung, Watch, Busy, Ending, Extend:
		p.says(w, e)
	case Worn:
		p.worn = p.worn || p.state == LifeReady
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
		p.ending, p.exit = true, e.Exit
		// A hard restart wants its end, if it has not asked for it yet.
		if pr, _ := w.core(p.id); !p.told && p.state != LifeStuck && !pr.held {
			w.crash = p
		}
		clean := p.drained || e.Exit == Exit{} || e.Exit.Signal == 15 || e.Exit.Code == 128+15
		w.judge(p, p.killed || !clean)
	}
}

// halve notes which roll under way a reload ends: what it has replaced stays so.
func (w *world) halve(e Reload) {
	for _, pr := range w.pool.programs {
		if w.rolls(pr) && !slices.ContainsFunc(e.Programs, func(p Program) bool { return p.Name == pr.Name }) {
			w.halved[pr.Name] = true
		}
	}
}

func (w *world) judge(p *process, badly bool) {
	if w.before == Stopping && p.state != LifeStuck {
		w.died = w.died || badly
		w.wasCut = w.wasCut || p.cut > 0 || p.busy
	}
}

// note lets an action come true.
func (w *world) note(e Event, a Action) {
	switch a := a.(type) {
	case Spawn:
		w.spawned = a.ID.Life
		p := &process{id: a.ID, generation: a.Generation, state: LifeStarting, due: w.now.Add(w.program(a.ID).ReadyTimeout)}
		p.listens, p.needs = w.version(p).Listeners, w.version(p).DependsOn
		w.alive = append(w.alive, p)
	case Quiesce:
		w.listener[a.Listener].quiescing = true
	case CloseListener:
		w.listener[a.Listener].closed = true
	case Rolled:
		delete(w.halved, a.Program)
		w.fallBack(a)
	case Up:
		w.up[a.Program] = true
	case Backoff:
		w.backoff[ID{Program: a.Program, Slot: a.Slot}.Worker()] = &backoffModel{w.now.Add(a.Delay), w.now, a.Crashes}
	case Ended, GaveUp:
		w.over[workerOf(a)] = true
	case Removed:
		w.alive = slices.DeleteFunc(w.alive, func(p *process) bool { return p.id.Program == a.Program })
		delete(w.sets, a.Program)
		delete(w.halved, a.Program)
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

// fallBack notes that what was rolled back is not wanted any more, unless the
// next roll tries again.
func (w *world) fallBack(r Rolled) {
	i := slices.IndexFunc(w.loaded.Programs, func(p Program) bool { return p.Name == r.Program })
	pr := w.pool.program(r.Program)
	if i >= 0 && pr != nil && pr.next == nil && (r.Verdict.Outcome == RolledBack || w.rollingBack) {
		w.loaded.Programs = slices.Clone(w.loaded.Programs)
		w.loaded.Programs[i] = pr.Program
	}
}

func (w *world) process(id ID) *process {
	i := slices.IndexFunc(w.alive, func(p *process) bool { return p.id == id })
	if i < 0 {
		return nil
	}
	return w.alive[i]
}

func (w *world) program(id ID) Program {
	return w.sets[id.Program].after
}

// version returns what the program of a life is in the life's generation.
func (w *world) version(p *process) Program {
	if v, ok := w.versions[p.id.Program][p.generation]; ok {
		return v
	}
	return w.program(p.id)
}

// core returns what the core has of a program and a slot; nothing of one that
// it has forgotten.
func (w *world) core(id ID) (*program, *slot) {
	pr := w.pool.program(id.Program)
	if pr == nil {
		return &program{}, &slot{}
	}
	return pr, pr.slots[id.Slot]
}

// needed tells whether others depend on the life's program and live, and
// others of it would not serve them if it ended.
func (w *world) needed(p *process) bool {
	set := w.program(p.id)
	pr, _ := w.core(p.id) // those of a configuration to come count too
	return pr.inUse() != nil || (len(set.Listeners) == 0 || set.MaxSurge == 0) && w.dependant(p.id.Program) != nil
}

// dependant returns a life that depends on the program.
func (w *world) dependant(program string) *process {
	i := slices.IndexFunc(w.alive, func(p *process) bool {
		return p.state != LifeStuck && !p.ending && slices.Contains(w.version(p).DependsOn, program)
	})
	if i < 0 {
		return nil
	}
	return w.alive[i]
}

// serves tells whether a life of the program, or of one slot of it, is ready
// and was not asked to end.
func (w *world) serves(program string, slot int) bool {
	return slices.ContainsFunc(w.alive, func(p *process) bool {
		return p.id.Program == program && (slot < 0 || p.id.Slot == slot) && p.state == LifeReady && !p.ending
	})
}

// wanted tells whether a program uses the listener by the configuration that
// was loaded last, and has not been rolled back.
func (w *world) wanted(listener string) bool {
	return slices.ContainsFunc(w.loaded.Programs, func(p Program) bool {
		pr := w.pool.program(p.Name)
		tried := pr != nil && pr.behind && pr.next == nil
		return !tried && slices.Contains(p.Listeners, listener)
	})
}

// everyProgram returns all that there are and were.
func (w *world) everyProgram() []Program {
	var all []Program
	for _, name := range names() {
		if s, ok := w.sets[name]; ok {
			all = append(all, s.after)
		}
	}
	return all
}

// workerOf returns the worker whose next life an action is about.
func workerOf(a Action) string {
	switch a := a.(type) {
	case Backoff:
		return ID{Program: a.Program, Slot: a.Slot}.Worker()
	case Ended:
		return ID{Program: a.Program, Slot: a.Slot}.Worker()
	case GaveUp:
		return ID{Program: a.Program, Slot: a.Slot}.Worker()
	}
	return ""
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
