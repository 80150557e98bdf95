package pool

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var seeds = flag.Int("seeds", 3000, "how many random schedules TestSimulation plays")

// TestSimulation plays random schedules of readiness, endings, failures and
// operators' commands against the core, with a clock of its own, and checks
// after every step what must always be true.
func TestSimulation(t *testing.T) {
	for seed := range uint64(*seeds) {
		s := newSim(seed)
		if err := s.run(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(s.story, "\n"))
		}
	}
}

type sim struct {
	rand     *rand.Rand
	programs []Program
	pool     *Pool
	now      time.Time
	story    []string
	lives    map[ID]*simLife
	order    []ID // of lives that have not ended
	quiet    []string
	replies  map[int]int
	tokens   int
	spawned  int
	stopping bool // the final stop was asked for, or decided
	finished bool
	err      error
	carry    func(*Pool) *Pool // called after each step
}

type simLife struct {
	hello, ready, asked, killed, gate, signal, told bool
}

func newSim(seed uint64) *sim {
	r := rand.New(rand.NewPCG(seed, 1))
	s := &sim{
		rand: r, now: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		lives: make(map[ID]*simLife), replies: make(map[int]int),
	}
	base := Program{
		StopSignal: 15, ReadyTimeout: 5 * time.Second, DrainTimeout: 3 * time.Second, UnwindTimeout: 200 * time.Millisecond,
		StopTimeout: time.Second, MaxRestarts: 4, RestartWindow: 20 * time.Second, MaxSurge: 1,
	}
	helper, web, api := base, base, base
	helper.Name, helper.Workers, helper.StopCommand = "redis", 1, r.IntN(2) == 0
	web.Name, web.Workers, web.DependsOn, web.Listeners = "web", 1+r.IntN(4), []string{"redis"}, []string{"web"}
	web.Gated, web.MaxSurge, web.MaxDraining = r.IntN(2) == 0, r.IntN(3), r.IntN(3)
	api.Name, api.Workers, api.DependsOn, api.Listeners = "api", 1+r.IntN(2), []string{"redis", "web"}, []string{"web", "api"}
	s.programs = []Program{helper, web, api}[:1+r.IntN(3)]
	s.pool = New(s.programs, seed)
	return s
}

func (s *sim) run() error {
	s.step(Begin{})
	for range 300 {
		if s.finished || s.err != nil {
			break
		}
		s.random()
	}
	if s.err == nil && !s.finished && !s.stopping {
		s.rest()
	}
	if s.err == nil && !s.finished {
		s.command(Stop{Token: s.token(), Slot: -1})
		s.obey()
	}
	if s.err != nil {
		return s.err
	}
	for token := 1; token <= s.tokens; token++ {
		if s.replies[token] != 1 {
			return fmt.Errorf("command %d got %d replies", token, s.replies[token])
		}
	}
	return nil
}

// rest lets everything come up, or end, that is on its way: then no command may
// be left without its reply.
func (s *sim) rest() {
	for range 1000 {
		if s.finished || s.err != nil || s.stopping || s.pool.phase == Stopping {
			return
		}
		moved := false
		for _, id := range slices.Clone(s.order) {
			l := s.lives[id]
			switch {
			case l == nil:
			case l.asked || l.signal || l.killed || l.told:
				s.gone(id, Exit{})
				moved = true
			case l.gate:
				l.gate = false
				s.step(GateOpen{id})
				moved = true
			case !l.ready:
				l.ready = true
				s.step(Ready{id})
				moved = true
			}
			if moved {
				break
			}
		}
		if moved {
			continue
		}
		d, ok := s.pool.Deadline()
		if !ok {
			break
		}
		s.now = d
		s.step(Tick{})
	}
	for token := 1; token <= s.tokens; token++ {
		if s.replies[token] != 1 {
			s.fail("at rest command %d has %d replies", token, s.replies[token])
		}
	}
}

// obey lets every life do nothing but end when it is killed: a stop must then
// finish within the sum of its deadlines.
func (s *sim) obey() {
	limit := s.now.Add(time.Minute)
	for !s.finished && s.err == nil {
		switch i := slices.IndexFunc(s.order, func(id ID) bool { return s.lives[id].killed }); {
		case i >= 0:
			s.gone(s.order[i], Exit{Signal: 9})
		case len(s.quiet) > 0:
			s.quiesced()
		default:
			d, ok := s.pool.Deadline()
			if !ok {
				s.fail("a stop waits for nothing, with %d lives left", len(s.order))
				return
			}
			s.now = d
			s.step(Tick{})
		}
		if s.now.After(limit) {
			s.fail("a stop takes longer than its deadlines")
		}
	}
}

func (s *sim) token() int { s.tokens++; return s.tokens }

func (s *sim) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// random plays one random thing.
func (s *sim) random() {
	switch n := s.rand.IntN(100); {
	case n < 60 && len(s.order) > 0:
		s.randomLife(s.order[s.rand.IntN(len(s.order))])
	case n < 65:
		s.quiesced()
	case n < 90:
		d, ok := s.pool.Deadline()
		if !ok || s.rand.IntN(3) == 0 {
			d = s.now.Add(time.Duration(s.rand.IntN(1000)) * time.Millisecond)
		}
		s.now = d
		s.step(Tick{})
	default:
		s.randomCommand()
	}
}

func (s *sim) randomLife(id ID) {
	l := s.lives[id]
	n := s.rand.IntN(20)
	switch {
	case l.killed && n > 0:
		s.gone(id, Exit{Signal: 9})
	case !l.hello && !l.ready && n < 8:
		l.hello = true
		s.step(Hello{id})
	case !l.ready && n < 18:
		l.ready = true
		s.step(Ready{id})
	case l.asked && n < 6:
		s.step(Closed{id, []string{"web", "api"}[:1+s.rand.IntN(2)]})
	case l.asked && n < 10:
		s.step(Drained{id, s.rand.IntN(2)})
	case l.gate && n < 15:
		l.gate = false
		s.step(GateOpen{id})
	case l.asked || l.signal:
		s.gone(id, Exit{Code: s.rand.IntN(2)})
	case n == 19:
		s.gone(id, Exit{Code: 1})
	case n == 18:
		s.step(Exited{id})
	}
}

func (s *sim) randomCommand() {
	program, slot := s.programs[s.rand.IntN(len(s.programs))].Name, s.rand.IntN(4)-1
	switch n := s.rand.IntN(40); {
	case n < 6:
		s.command(Stop{s.token(), program, slot, n == 0})
	case n < 14:
		s.command(Start{s.token(), program, slot})
	case n < 24:
		s.command(Restart{s.token(), program, slot, n < 16})
	case n < 30:
		s.command(Restart{s.token(), "", -1, false})
	case n < 36:
		s.command(Scale{s.token(), program, s.rand.IntN(5)})
	case n == 36:
		s.command(Stop{s.token(), "", -1, s.rand.IntN(2) == 0})
	}
}

func (s *sim) command(e Event) {
	if stop, ok := e.(Stop); ok && stop.Program == "" {
		s.stopping = true
	}
	s.step(e)
}

func (s *sim) quiesced() {
	if len(s.quiet) > 0 {
		name := s.quiet[0]
		s.quiet = s.quiet[1:]
		s.step(Quiesced{name})
	}
}

func (s *sim) gone(id ID, e Exit) {
	s.order = slices.DeleteFunc(s.order, func(other ID) bool { return other == id })
	delete(s.lives, id)
	s.step(Gone{id, e})
}

func (s *sim) step(e Event) {
	s.story = append(s.story, fmt.Sprintf("%v %T%+v", s.now.Format("04:05.000"), e, e))
	for _, a := range s.pool.Step(s.now, e) {
		s.story = append(s.story, "    "+render(a))
		s.check(a)
	}
	if d, ok := s.pool.Deadline(); ok && !d.After(s.now) && !s.finished {
		s.fail("a deadline is in the past after a step")
	}
	if s.carry != nil {
		s.pool = s.carry(s.pool)
	}
}

// check holds one action against what must always be true, and plays its part.
func (s *sim) check(a Action) {
	if s.finished {
		s.fail("%T after the end", a)
	}
	switch a := a.(type) {
	case Spawn:
		s.checkSpawn(a)
	case Ask:
		s.checkAsked(a.ID)
		s.with(a.ID, func(l *simLife) { l.asked = true })
	case Signal:
		s.with(a.ID, func(l *simLife) { l.signal = true })
		s.checkAsked(a.ID)
	case RunStopCommand:
		s.checkAsked(a.ID)
	case AskGate:
		s.with(a.ID, func(l *simLife) { l.gate = true })
	case Quit:
		s.with(a.ID, func(*simLife) {})
	case Cut:
		s.with(a.ID, func(*simLife) {})
	case Kill:
		s.with(a.ID, func(l *simLife) {
			if l.killed {
				s.fail("%s is killed twice", a.ID)
			}
			l.killed = true
		})
	case Quiesce:
		s.quiet = append(s.quiet, a.Listener)
	case GaveUp:
		if s.spare(a.Program) == 0 {
			s.stopping = true
		}
	case Became:
		if a.State == LifeGone && s.pool.phase == Stopping {
			s.stopping = true // the core decided it
		}
	case Reply:
		s.replies[a.Token]++
	case Finish:
		s.finished = true
	}
}

func (s *sim) with(id ID, f func(*simLife)) {
	l := s.lives[id]
	if l == nil {
		s.fail("an action names %s, which has ended", id)
		return
	}
	f(l)
}

func (s *sim) checkSpawn(a Spawn) {
	if s.stopping {
		s.fail("%s starts though all is stopping", a.ID)
	}
	if s.lives[a.ID] != nil || a.ID.Life <= s.spawned {
		s.fail("the number of %s is not new", a.ID)
	}
	s.spawned = a.ID.Life
	s.lives[a.ID] = &simLife{}
	s.order = append(s.order, a.ID)
	p := s.program(a.ID.Program)
	fresh := 0 // lives that are not on their way out
	for _, slot := range s.pool.program(p.Name).slots {
		for i, l := range slot.lives {
			if !l.leaving() && i > 0 && !slot.lives[i-1].leaving() {
				fresh++
			}
		}
	}
	if fresh > max(1, p.MaxSurge) {
		s.fail("%d lives above the number of workers, more than max_surge", fresh)
	}
}

// checkAsked: nothing is asked to end that another needs, and a roll asks
// nobody who serves before his successor serves.
func (s *sim) checkAsked(id ID) {
	pr, slot, l := s.pool.life(id)
	again := true
	s.with(id, func(sl *simLife) { again, sl.told = sl.told, true })
	if l == nil || again {
		return
	}
	if l.why == "roll" && pr.MaxSurge > 0 && (slot.serving() == nil || slot.serving() == l) {
		s.fail("%s is asked to end before its successor is ready", id)
	}
	for _, user := range pr.dependants {
		if (s.stopping || pr.held && id.Slot < pr.wanted) && !l.exited && (!slot.stopped || !pr.spared()) && !user.down() {
			s.fail("%s is asked to end while %s, which needs it, lives", id, user.Name)
		}
	}
}

func (s *sim) spare(name string) int {
	n := 0
	pr := s.pool.program(name)
	for _, slot := range pr.slots[:pr.wanted] {
		if !slot.failed && !slot.stopped {
			n++
		}
	}
	return n
}

func (s *sim) program(name string) Program {
	return s.programs[slices.IndexFunc(s.programs, func(p Program) bool { return p.Name == name })]
}

func (pr *program) spared() bool {
	return slices.ContainsFunc(pr.slots, func(o *slot) bool { return o.current() != nil })
}
