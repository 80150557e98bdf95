package pool

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seeds   = flag.Int("seeds", 3000, "how many random schedules TestSimulation plays")
	first   = flag.Uint64("seed", 0, "the first of them")
	playFor = flag.Duration("for", 0, "play schedules for so long, however many, and say how far it is")
)

// TestSimulation plays random schedules of readiness, endings, failures and
// operators' commands against the core, with a clock of its own, and checks
// after every step all that must always be true (see invariants). Of a schedule
// that breaks an invariant it prints what is left when nothing more can be left
// out; put below testdata it is a transcript.
func TestSimulation(t *testing.T) {
	var played atomic.Uint64
	var failed atomic.Bool
	began := time.Now()
	more := func(n uint64) bool {
		if *playFor > 0 {
			return time.Since(began) < *playFor
		}
		return n < uint64(*seeds)
	}
	var players sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		players.Go(func() {
			for n := played.Add(1) - 1; more(n) && !failed.Load(); n = played.Add(1) - 1 {
				if *playFor > 0 && n%20000 == 0 {
					fmt.Fprintf(os.Stderr, "%6v  %d schedules\n", time.Since(began).Round(time.Second), n)
				}
				s, broken := randomSchedule(*first + n)
				if broken != nil && failed.CompareAndSwap(false, true) {
					t.Error(explain(*first+n, s, broken))
				}
			}
		})
	}
	players.Wait()
}

// explain makes the report of a schedule that broke an invariant.
func explain(seed uint64, s schedule, broken *breach) string {
	small := shrink(s, func(try schedule) bool {
		b := try.play().broken
		return b != nil && b.invariant == broken.invariant
	})
	w := small.play()
	return fmt.Sprintf("seed %d breaks %q after %d moves; of them %d are needed:\n\n%s\n%v\n",
		seed, broken.invariant, len(s.moves), len(small.moves), w.transcript(), w.broken)
}

// A schedule is some programs and what happens to them. It is data, so that it
// can be played again with parts of it left out.
type schedule struct {
	programs []string // as in a transcript
	moves    []move
}

// A move is one thing that happens. It names a life by its slot and how many
// older ones live there, not by its number: so it keeps its meaning when moves
// before it are left out. One that is not possible when its turn comes does
// nothing.
type move struct {
	what    string // the event's name in a transcript
	program string
	slot    int
	nth     int
	number  int
	now     bool          // or hard
	lines   []string      // of the configuration, that change
	roll    []string      // programs that a reload rolls
	after   time.Duration // passes before, unseen by the core
}

// play plays the moves, and what must be possible from every state after them.
func (s schedule) play() *world { return s.playIn(newWorld(s.programs)) }

func (s schedule) playIn(w *world) *world {
	w.guarded(func() {
		w.step(Begin{})
		for _, m := range s.moves {
			w.play(m)
		}
		w.end()
	})
	return w
}

// randomSchedule makes up a schedule while it plays it, and says what it broke.
func randomSchedule(seed uint64) (schedule, *breach) {
	r := rand.New(rand.NewPCG(seed, 1))
	s := schedule{programs: randomPrograms(r)}
	w := newWorld(s.programs)
	w.guarded(func() {
		w.step(Begin{})
		for range 300 {
			if w.done() {
				break
			}
			m := w.random(r)
			s.moves = append(s.moves, m)
			w.play(m)
		}
		w.end()
	})
	return s, w.broken
}

// shrink returns the schedule with as many of its programs and moves left out
// as can be while still holds of it: runs of moves first, halving their length
// down to single ones, until no one and no two can go; then the time before each.
func shrink(s schedule, still func(schedule) bool) schedule {
	for n := 1; n < len(s.programs); n++ {
		if try := (schedule{s.programs[:n], s.moves}); still(try) {
			s = try
		}
	}
	for size := max(1, len(s.moves)/2); ; size = max(1, size/2) {
		smaller := false
		for at := 0; at < len(s.moves); {
			if try := s.without(at, size); still(try) {
				s, smaller = try, true
			} else {
				at += size
			}
		}
		if size > 1 || smaller {
			continue
		}
		less, ok := withoutTwo(s, still)
		if !ok {
			break
		}
		s = less
	}
	for i := range s.moves {
		try := schedule{s.programs, slices.Clone(s.moves)}
		if try.moves[i].after = 0; still(try) {
			s = try
		}
	}
	return s
}

func (s schedule) without(at, n int) schedule {
	return schedule{s.programs, slices.Concat(s.moves[:at], s.moves[min(at+n, len(s.moves)):])}
}

// withoutTwo leaves out two moves of which neither can go alone: a command, and
// what makes good for it.
func withoutTwo(s schedule, still func(schedule) bool) (schedule, bool) {
	for i := range s.moves {
		for j := i; j < len(s.moves)-1; j++ {
			if try := s.without(i, 1).without(j, 1); still(try) {
				return try, true
			}
		}
	}
	return s, false
}

// random makes up what may happen next.
func (w *world) random(r *rand.Rand) move {
	var late time.Duration
	if r.IntN(8) == 0 {
		late = time.Duration(1+r.IntN(3000)) * time.Millisecond
	}
	switch n := r.IntN(100); {
	case n < 60 && len(w.alive) > 0:
		m := w.randomLife(r, w.alive[r.IntN(len(w.alive))])
		m.after = late
		return m
	case n < 66:
		return move{what: "quiesced", after: late}
	case n < 90:
		switch r.IntN(20) {
		case 0:
			return move{what: "tick", after: 90 * time.Second} // the machine slept
		case 1, 2, 3, 4, 5, 6:
			return move{what: "tick", after: time.Duration(1+r.IntN(1000)) * time.Millisecond}
		}
		return move{what: "deadline"}
	case n < 92:
		return move{what: "nonsense", number: r.IntN(17)}
	}
	return w.randomCommand(r)
}

// randomLife makes up what a life may do: the usual more often than the rest.
func (w *world) randomLife(r *rand.Rand, p *process) move {
	m := move{program: p.id.Program, slot: p.id.Slot, nth: w.nth(p), number: r.IntN(2)}
	n := r.IntN(20)
	switch {
	case p.killed && n > 0:
		m.what = "gone"
	case !p.hello && !p.saidReady && n < 7:
		m.what = "hello"
	case !p.saidReady && n < 17:
		m.what = "ready"
	case p.state == LifeReady && p.watch > 0 && n < 12:
		m.what = "alive"
	case p.state == LifeReady && n == 17:
		m.what = "worn"
	case len(p.met) > 0 && n < 3:
		m.what, m.number = "lost", r.IntN(4)
	case p.lame && !p.quiet && n < 9:
		m.what = "quiet"
	case p.closing && !p.signal && n < 8:
		m.what = "busy"
	case p.told && n < 4:
		m.what = "closed"
	case p.leaving() && n == 4, p.state == LifeStarting && n == 17:
		m.what = "extend"
	case p.asked && !p.drained && (n < 9 || p.hold && n < 16):
		m.what = "drained"
	case p.atGate && n < 7:
		m.what = "gate_open"
	case p.atGate && n < 18:
		m.what = "tick" // it stays shut
	case p.command && n < 5:
		m.what = "command_failed"
	case p.told:
		m.what = "gone"
	case n == 19:
		m.what, m.number = "gone", []int{0, 1, 1, 1, DoNotRestart}[r.IntN(5)]
	case n == 18:
		m.what = "exited"
	default:
		m.what = []string{"hello", "closed", "drained", "alive", "worn", "busy", "busy", "hung", "watch", "ending"}[r.IntN(10)]
	}
	return m
}

func (w *world) randomCommand(r *rand.Rand) move {
	programs := w.config.programs
	m := move{program: programs[r.IntN(len(programs))].Name, slot: r.IntN(4) - 1}
	switch n := r.IntN(52); {
	case n >= 44:
		return w.randomReload(r)
	case n >= 40:
		if m.what, m.slot = "rollback", -1; n == 40 {
			m.program = ""
		}
	case n < 8:
		m.what, m.now = "stop", n < 4
	case n < 15:
		m.what = "start"
	case n < 25:
		m.what, m.now = "restart", n < 17
	case n < 31:
		m.what, m.program, m.slot = "restart", "", -1
	case n < 38:
		m.what, m.number = "scale", r.IntN(5)
	case n == 38:
		m.what, m.program, m.slot, m.now = "stop", "", -1, r.IntN(2) == 0
	default:
		m.what, m.program, m.slot = "start", "", -1
	}
	return m
}

// The report of a broken invariant can be put below testdata as it is.
func TestScheduleIsATranscript(t *testing.T) {
	for seed := range uint64(50) {
		s, broken := randomSchedule(seed)
		if broken != nil {
			t.Fatal(explain(seed, s, broken))
		}
		text := s.play().transcript()
		if again := string(replay(t, []byte(text), func(p *Pool) *Pool { return p })); again != text {
			t.Fatalf("seed %d: played\n%s\nreplayed\n%s", seed, text, again)
		}
	}
}

// What shrink leaves shows what it was asked for, and no move of it can go.
func TestShrink(t *testing.T) {
	killed := func(s schedule) bool { return strings.Contains(s.play().transcript(), "\nkill web.0#") }
	for seed := range uint64(1000) {
		s, _ := randomSchedule(seed)
		if len(s.moves) < 100 || !killed(s) {
			continue
		}
		small := shrink(s, killed)
		if !killed(small) || len(small.moves) > 10 {
			t.Errorf("of %d moves %d are left:\n%s", len(s.moves), len(small.moves), small.play().transcript())
		}
		for i := range small.moves {
			less := schedule{small.programs, slices.Concat(small.moves[:i], small.moves[i+1:])}
			if killed(less) {
				t.Errorf("move %d of %d is not needed:\n%s", i, len(small.moves), small.play().transcript())
			}
		}
		return
	}
	t.Fatal("no schedule kills web.0")
}
