package supervisor

import (
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
	"golang.org/x/sys/unix"
)

// A dice is chance that may be asked by any goroutine.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed, n uint64) *dice { return &dice{r: rand.New(rand.NewPCG(seed, n))} }

// n returns a number below n.
func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// one tells whether one time in n has come.
func (d *dice) one(n int) bool { return d.n(n) == 0 }

// upTo returns a time below limit.
func (d *dice) upTo(limit time.Duration) time.Duration { return time.Duration(d.n(int(limit))) }

// An actor plays a process by chance: one that comes up or does not, works,
// crashes, hears or is deaf, and ends when it likes, or when it is killed.
type actor struct {
	*dice
	*fakeProcess
	worker   string // "web.0"; with a star: its stop command
	sockets  []int  // its own copies of the listening sockets
	messages chan wire.Message
	caught   chan syscall.Signal

	plans []plan
	fate  fate // written by the actor alone, by set

	// How it is.
	talks, deaf, wedged, leaves, late bool
	patience                          time.Duration // from TERM, or a drain, to the end
	life                              time.Duration // until it dies; 0: it does not
	death                             time.Duration // from KILL to the end

}

// A fate is what has become of a process.
type fate struct {
	killed  time.Time // it got KILL
	ended   time.Time // all its group has
	drained bool      // it said so
}

// become tells what has become of it; for other goroutines.
func (a *actor) become() (f fate) {
	a.set(func() { f = a.fate })
	return f
}

type plan struct {
	at time.Time
	do func()
}

func newActor(d *dice, p *fakeProcess) *actor {
	a := &actor{
		dice: d, fakeProcess: p, worker: "?",
		messages: make(chan wire.Message), caught: make(chan syscall.Signal, 1000),
		talks: d.n(2) == 0, deaf: d.one(12), wedged: d.one(6), leaves: d.one(8), late: d.one(10),
	}
	for _, kv := range p.spec.Env {
		if name, ok := strings.CutPrefix(kv, wire.EnvWorker+"="); ok {
			a.worker = name
		}
	}
	a.patience = []time.Duration{d.upTo(50 * time.Millisecond), d.upTo(time.Second), d.upTo(6 * time.Second)}[d.n(3)]
	if d.one(5) {
		a.life = d.upTo(20 * time.Second)
	}
	a.death = d.upTo(5 * time.Millisecond)
	if d.one(60) {
		a.death = 9*time.Second + d.upTo(6*time.Second)
	}
	for _, fd := range p.spec.Files {
		if own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err == nil {
			a.sockets = append(a.sockets, own)
		}
	}
	p.told = func(who string, s syscall.Signal) {
		if s != syscall.SIGCONT {
			a.caught <- s
		}
	}
	return a
}

// in plans something.
func (a *actor) in(d time.Duration, do func()) {
	a.plans = append(a.plans, plan{time.Now().Add(d), do})
}

// next returns the plan whose time comes first, and takes it away.
func (a *actor) next() (plan, bool) {
	if len(a.plans) == 0 {
		return plan{}, false
	}
	first := 0
	for i, p := range a.plans {
		if p.at.Before(a.plans[first].at) {
			first = i
		}
	}
	p := a.plans[first]
	a.plans = append(a.plans[:first], a.plans[first+1:]...)
	return p, true
}

// play plays until the process has ended, all its group with it.
func (a *actor) play() {
	if a.channel == nil {
		a.worker += "*"
		a.in(a.patience, func() { a.die(proc.Exit{Code: a.n(4) / 3}) })
	} else {
		go a.receive()
		a.begin()
	}
	for a.fate.ended.IsZero() {
		p, ok := a.next()
		if !ok {
			p.at = time.Now().Add(time.Hour)
		}
		timer := time.NewTimer(time.Until(p.at))
		select {
		case <-timer.C:
			if ok {
				p.do()
			}
			continue
		case m := <-a.messages:
			a.hears(m)
		case s := <-a.caught:
			a.signalled(s)
		}
		timer.Stop()
		if ok {
			a.plans = append(a.plans, p)
		}
	}
}

func (a *actor) receive() {
	for {
		m, err := a.channel.Receive()
		if err != nil {
			return
		}
		select {
		case a.messages <- m:
		case <-a.gone:
			return
		}
	}
}

// begin plans how it comes up, and what it does unasked.
func (a *actor) begin() {
	up := a.upTo(1500 * time.Millisecond)
	switch {
	case a.one(20):
		a.set(func() { a.sight = sock.AcceptsNot }) // and says nothing
	case a.talks:
		a.say(wire.Message{Hello: &wire.Hello{Features: []string{"levitate", wire.FeatureMove}[:2*a.n(2)]}})
		a.in(up, func() { a.say(wire.Message{Ready: &wire.Ready{}}) })
	case a.one(2):
		a.in(up, func() { _ = a.notify.put("STATUS=here\nREADY=1") })
	case a.one(2):
		a.set(func() { a.sight = sock.AcceptsNot })
		a.in(up, func() { a.set(func() { a.sight = sock.Accepts }) })
	}
	a.print("hello\n")
	var beat func()
	beat = func() {
		if a.one(40) {
			return // it hangs
		}
		_ = a.notify.put("WATCHDOG=1")
		a.mutter()
		a.accept()
		a.in(500*time.Millisecond, beat)
	}
	a.in(0, beat)
	if a.one(10) {
		a.in(a.upTo(20*time.Second), func() { a.set(func() { a.memory = 1 << 40 }) })
	}
	if a.talks && a.one(10) {
		a.in(a.upTo(20*time.Second), func() { a.say(wire.Message{Worn: &wire.Worn{Served: 7}}) })
	}
	if a.life > 0 {
		a.in(a.life, func() { a.die(a.anyEnd()) })
	}
}

// mutter says something of itself, or nothing.
func (a *actor) mutter() {
	switch a.n(60) {
	case 0, 1, 2, 3:
		_ = a.notify.put("X_LASTCALL_BEGIN=a\nX_LASTCALL_CLASS=expendable\nX_LASTCALL_BEGIN=b")
	case 4, 5, 6, 7, 8:
		_ = a.notify.put("X_LASTCALL_END=a")
	case 9:
		a.say(wire.Message{Notify: &wire.Notify{Text: "EXTEND_TIMEOUT_USEC=1000000"}})
	case 10:
		_ = a.notify.put([]string{"STOPPING=1", "WATCHDOG=trigger", "WATCHDOG_USEC=3000000", "RELOADING=1\nMAINPID=1"}[a.n(4)])
	}
}

func (a *actor) anyEnd() proc.Exit {
	return []proc.Exit{{}, {Code: 1}, {Code: 125}, {Code: 143}, {Signal: syscall.SIGSEGV}, {Signal: syscall.SIGTERM}}[a.n(6)]
}

// say is in vain once the supervisor has closed its end.
func (a *actor) say(m wire.Message) { _ = a.channel.Send(m) }

// accept takes whoever waits at its sockets.
func (a *actor) accept() {
	for _, fd := range a.sockets {
		for {
			c, _, err := unix.Accept(fd)
			if err != nil {
				break
			}
			unix.Close(c)
		}
	}
}

func (a *actor) hears(m wire.Message) {
	switch {
	case m.List != nil && !a.wedged:
		a.say(wire.Message{Inflight: &wire.Inflight{Request: m.List.Request, Critical: 1, Operations: []wire.Operation{{Name: "GET"}}}})
	case a.deaf:
	case m.Peer != nil && m.Peer.Offer && a.one(3):
		a.in(a.upTo(time.Second), func() { a.say(wire.Message{Lost: &wire.Lost{Worker: m.Peer.Worker, Life: m.Peer.Life}}) })
	case m.Drain != nil:
		a.in(a.upTo(300*time.Millisecond), func() { a.say(wire.Message{Closed: &wire.Closed{Listeners: []string{"web", "api"}}}) })
		a.in(a.patience, func() { a.drain(0, m.Drain.Hold) })
		a.in(m.Drain.Timeout, func() { a.drain(1, false) })
	case m.Cut != nil:
		a.in(a.upTo(100*time.Millisecond), func() { a.drain(1, false) })
	case m.Quit != nil:
		a.die(proc.Exit{})
	}
}

// drain says that it has, once.
func (a *actor) drain(cut int, hold bool) {
	if a.fate.drained {
		return
	}
	a.set(func() { a.fate.drained = true })
	a.say(wire.Message{Drained: &wire.Drained{Cut: make([]wire.Operation, cut)}})
	if !hold {
		a.in(a.upTo(5*time.Millisecond), func() { a.die(proc.Exit{Code: a.n(2)}) })
	}
}

func (a *actor) signalled(s syscall.Signal) {
	switch {
	case s == syscall.SIGKILL && a.fate.killed.IsZero():
		a.set(func() { a.fate.killed = time.Now() })
		a.leaves = false
		a.plans = nil
		a.in(a.death, func() { a.die(proc.Exit{Signal: s}) })
	case s == syscall.SIGKILL || !a.fate.killed.IsZero() || a.deaf || s == syscall.SIGUSR1 || s == syscall.SIGWINCH:
	case isClosed(a.exited): // the rest of the group
		a.die(proc.Exit{})
	default:
		a.in(a.patience, func() { a.die(proc.Exit{Signal: s}) })
	}
}

// die ends the process, if it leaves somebody behind for a while alone, and if
// somebody outside its group has its output open without closing that.
func (a *actor) die(e proc.Exit) {
	if !isClosed(a.exited) {
		a.print("last words")
		if !a.late {
			a.hush()
		} else if a.channel != nil {
			a.channel.Close()
		}
		a.leave(e)
		if a.leaves {
			a.leaves = false
			a.in(a.upTo(3*time.Second), func() { a.die(proc.Exit{}) })
			return
		}
	}
	a.set(func() { a.fate.ended = time.Now() })
	for _, fd := range a.sockets {
		unix.Close(fd)
	}
	close(a.gone)
	if a.late {
		time.AfterFunc(a.upTo(time.Second), a.hush)
	}
}
