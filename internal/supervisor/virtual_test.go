package supervisor

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
)

// A life that says nothing is ready when it is seen to accept, and not before,
// however long it has been up; only where that cannot be seen staying up counts.
func TestGuessOfReadiness(t *testing.T) {
	for _, c := range []struct {
		sight sock.Sight // from the start; it accepts after 5.01 s
		want  time.Duration
	}{
		{sock.Unseen, time.Second},
		{sock.AcceptsNot, 5250 * time.Millisecond}, // looked for every 250 ms by then
		{sock.Accepts, 20 * time.Millisecond},
	} {
		inBubble(t, func(t *testing.T) {
			p := program("web", 1, "sleep")
			p.Listen, p.MinUptime = []string{"web"}, time.Second
			f := &fakeSystem{starts: func(p *fakeProcess) { p.sight = c.sight }}
			b := runFakeWith(t, f, Config{Name: "test", Listeners: []Listener{web(t)}, Programs: []Program{p}}, Options{})
			b.after(5010 * time.Millisecond)
			f.process(0).set(func() { f.process(0).sight = sock.Accepts })
			b.after(time.Second)
			b.at(c.want, "msg=ready\n")
			b.signal(syscall.SIGTERM)
			b.ends(0, proc.Exit{})
			b.returned(exitDone)
		})
	}
}

// One that is not ready in time is killed then, to the moment.
func TestReadyTimeoutIsExact(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, program("web", 1, "sleep"))
		b.after(20 * time.Second)
		wantSignals(t, b.system.process(0), "10s group 9")
		b.ends(0, proc.Exit{Signal: syscall.SIGKILL})
		b.returned(exitNotUp)
	})
}

// A deadline is cut, and then killed, to the moment; the operator is told each
// second what is waited for; and gets one verdict.
func TestDrainTimeoutIsExact(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runTalking(t, program("web", 1, "sleep"))
		var told []time.Duration
		verdict := make(chan control.Verdict, 1)
		go func() {
			verdict <- b.Do(context.Background(), control.Request{Verb: "stop"}, func(p []control.Progress) {
				told = append(told, p[0].Left)
			})
		}()
		b.after(10 * time.Second)
		p := b.system.process(0)
		wantSignals(t, p, "5.7s group 9")
		p.end(proc.Exit{Signal: syscall.SIGKILL})
		synctest.Wait()
		b.answered(verdict, control.Died)
		b.returned(exitDied)
		b.at(5*time.Second, "msg=cutting")
		// Each answer waits listTimeout for the worker, which is silent.
		if len(told) < 9 || told[0] != 3500*time.Millisecond || told[1] != 2500*time.Millisecond {
			t.Errorf("told of %v left", told)
		}
	})
}

// A door is a gate that opens when the test says so.
type door struct {
	open   atomic.Bool
	asked  atomic.Int32
	closed atomic.Int32
}

func (d *door) kinds() map[string]gate.Kind {
	return map[string]gate.Kind{"door": {Open: func(gate.Spec) (gate.Question, error) { return d, nil }}}
}

func (d *door) Close() error { d.closed.Add(1); return nil }

func (d *door) Ask(context.Context) (string, error) {
	d.asked.Add(1)
	if d.open.Load() {
		return "", nil
	}
	return "somebody inside", nil
}

// A foreign worker's gate is asked before its signal, one with a channel's
// after it has drained; no gate is asked after the deadline.
func TestGateIsAskedAndEnded(t *testing.T) {
	for _, c := range []struct {
		talks bool
		opens time.Duration // after the stop
		want  []string
	}{
		{false, 1500 * time.Millisecond, []string{"3s leader 15"}},
		{false, time.Hour, []string{"6s leader 15"}},
		{true, 1500 * time.Millisecond, nil},
		{true, time.Hour, nil},
	} {
		inBubble(t, func(t *testing.T) {
			p, d := program("web", 1, "sleep"), &door{}
			p.Gates, p.MinUptime = []gate.Spec{{Kind: "door"}}, time.Second
			b := runFakeWith(t, &fakeSystem{}, Config{Name: "test", Programs: []Program{p}}, Options{Kinds: d.kinds()})
			if c.talks {
				b.comesUp(0)
			}
			b.after(time.Second)
			time.AfterFunc(c.opens, func() { d.open.Store(true) })
			b.signal(syscall.SIGTERM)
			if c.talks {
				if !b.isAsked(0).Hold {
					t.Error("it is not told to hold")
				}
				b.says(0, wire.Message{Drained: &wire.Drained{}})
			}
			b.after(5500 * time.Millisecond)
			wantSignals(t, b.system.process(0), c.want...)
			for c.talks && b.isTold(0).Quit == nil { // it is asked what it does, too
				continue
			}
			b.ends(0, proc.Exit{})
			code := exitDone
			if c.opens > time.Minute {
				code = exitCut
			}
			b.returned(code)
			asked := d.asked.Load()
			b.after(5 * time.Second)
			if d.asked.Load() != asked || d.closed.Load() != 1 {
				t.Errorf("asked %d and then %d times, closed %d times", asked, d.asked.Load(), d.closed.Load())
			}
		})
	}
}

// Nobody accepts the client: his queue is waited for a second and no longer. The
// socket is closed with him in the queue, which the worker has, too; one that can
// only be shut down, when he is out of it.
func TestQuiesceIsBounded(t *testing.T) {
	closed := map[string]time.Duration{web(t).Address.Address: 2250 * time.Millisecond, "@" + t.TempDir(): 4 * time.Second}
	for address, when := range closed {
		inBubble(t, func(t *testing.T) {
			l, p := Listener{Name: "web", Address: sock.Address{Network: "tcp", Address: address}}, program("web", 1, "sleep")
			if strings.HasPrefix(address, "@") {
				l.Address.Network = "unix"
			}
			p.Listen = []string{"web"}
			f := &fakeSystem{starts: func(p *fakeProcess) { p.sight = sock.Accepts }}
			b := runFakeWith(t, f, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}}, Options{})
			b.after(time.Second)
			client(t, l.Address)
			b.signal(syscall.SIGTERM)
			b.after(3 * time.Second)
			wantSignals(t, f.process(0), "2s leader 15")
			b.ends(0, proc.Exit{})
			b.at(when, "msg=closed")
			b.returned(exitDone)
		})
	}
}

// The socket of a foreign worker that goes on refuses 250 ms after its signal.
func TestForeignCopyRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l, p := web(t), program("web", 1, "sleep")
		p.Listen = []string{"web"}
		f := &fakeSystem{starts: func(p *fakeProcess) { p.sight = sock.Accepts }}
		b := runFakeWith(t, f, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}}, Options{})
		b.after(time.Second)
		b.signal(syscall.SIGTERM)
		b.after(time.Second)
		wantSignals(t, f.process(0), "1s leader 15")
		b.at(1250*time.Millisecond, "msg=closed")
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}

// Workers that grow alike do not reach their limits together: of four, each is
// given another part of the jitter.
func TestMaxMemoryJitter(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := program("web", 4, "sleep")
		p.MaxMemory, p.MaxMemoryJitter = 100<<20, 40<<20
		b := runTalking(t, p)
		n := 4
		use := func(mebibytes int64, limit string) {
			for i := range n {
				f := b.system.process(i)
				f.set(func() { f.memory = mebibytes << 20 })
			}
			before := strings.Count(b.log.String(), "to be replaced")
			b.after(10 * time.Second)
			told := strings.Count(b.log.String(), "to be replaced") - before
			if limit == "" {
				if told > 0 {
					t.Errorf("with %d MiB %d are to be replaced", mebibytes, told)
				}
				return
			}
			if told != 1 || !strings.Contains(b.log.String(), limit) {
				t.Fatalf("with %d MiB %d are to be replaced, want one: %s", mebibytes, told, limit)
			}
			b.comesUp(n)
			n++
		}
		b.after(time.Second)
		use(101, "")
		use(109, "")
		use(110, "worker=web.1 life=2 reason=\"max_memory: uses 110 of 109 MiB\"")
		b.isAsked(1)
		b.ends(1, proc.Exit{})
		b.signal(syscall.SIGTERM)
		for _, i := range []int{0, 2, 3, 4} {
			b.ends(i, proc.Exit{})
		}
	})
}

// What eats too much is found out by the ticker, what gives no sign by its
// watchdog; each is replaced.
func TestWornIsReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := program("web", 1, "sleep")
		p.MaxMemory, p.Watchdog = 1<<20, 25*time.Second
		b := runTalking(t, p)
		b.after(3 * time.Second)
		b.system.process(0).set(func() { b.system.process(0).memory = 2 << 20 })
		b.after(8 * time.Second)
		b.at(10*time.Second, "max_memory: uses 2 of 1 MiB")
		b.comesUp(1)
		b.isAsked(0)
		b.ends(0, proc.Exit{})
		b.after(10 * time.Second)
		_ = b.system.process(1).notify.put("WATCHDOG=1")
		b.after(26 * time.Second)
		b.at(46*time.Second, "watchdog: no sign of life for 25s")
		b.comesUp(2)
		wantSignals(t, b.system.process(1), "37s leader 6")
		b.ends(1, proc.Exit{Signal: syscall.SIGABRT})
		b.signal(syscall.SIGTERM)
		b.ends(2, proc.Exit{})
		b.returned(exitDone)
	})
}

// The ticker runs while a worker has a limit, and not otherwise.
func TestMemoryIsWatchedWhileThereIsALimit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := program("web", 1, "sleep")
		p.MinUptime = time.Second
		conf := func() Config { return Config{Name: "test", Programs: []Program{p}} }
		b := runFakeWith(t, &fakeSystem{}, conf(), Options{Load: func() (Config, error) { return conf(), nil }})
		watching := func() (is bool) {
			b.call(t.Context(), func() { is = b.watching })
			return is
		}
		if watching() {
			t.Error("watched without a limit")
		}
		for _, limit := range []int64{0, 1 << 20, 0, 1 << 20} {
			p.MaxMemory = limit
			b.answered(b.asks(control.Request{Verb: "reload"}), control.Done)
			b.after(11 * time.Second)
			if watching() != (limit > 0) {
				t.Errorf("a limit of %d: watched is %v", limit, watching())
			}
		}
		w := b.system.process(0)
		w.set(func() { w.weighed = 0 })
		b.after(10 * time.Second)
		if w.weighed != 1 {
			t.Errorf("looked at %d times in ten seconds, want once", w.weighed)
		}
		b.signal(syscall.SIGTERM)
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}

// A worker that ends just in time is not judged by the KILL that misses it,
// though it is known to be gone later: somebody else holds its output.
func TestEndJustBeforeTheKill(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := program("web", 1, "sleep")
		p.MinUptime, p.DrainTimeout = time.Millisecond, time.Second
		b := runFake(t, p)
		b.after(time.Second)
		b.signal(syscall.SIGTERM)
		b.after(p.DrainTimeout + defaultUnwind + pool.KillMargin - 100*time.Millisecond)
		w := b.system.process(0)
		_ = w.channel.Close()
		w.leave(proc.Exit{})
		close(w.gone)
		b.after(time.Second)
		b.returned(exitDone)
		w.hush()
	})
}

// The second INT changes nothing, the third cuts; a hundred TERM are one.
func TestThirdInterruptCuts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runTalking(t, program("web", 1, "sleep"))
		b.signal(syscall.SIGINT)
		b.isAsked(0)
		b.signal(syscall.SIGINT)
		for range 100 {
			b.signal(syscall.SIGTERM)
		}
		b.after(time.Second)
		if n := b.count("msg=cutting"); n != 0 {
			t.Error("the second interrupt cuts")
		}
		b.signal(syscall.SIGINT)
		if b.isTold(0).List == nil { // to say what it waits for
			t.Error("nobody asks what is waited for")
		}
		for m := b.isTold(0); m.Cut == nil; m = b.isTold(0) {
			continue
		}
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}

// A reload goes through Load: what it refuses changes nothing; else the program
// is rolled, and a life from before is stopped by what it was started with.
func TestReloadThatAddsAStopCommand(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		next := Config{Name: "test", Programs: []Program{program("web", 1, "sleep")}}
		next.Programs[0].MinUptime = time.Second
		now := next
		refuse := errors.New("line 3: no such key")
		b := runFakeWith(t, &fakeSystem{}, now, Options{Load: func() (Config, error) { return next, refuse }})
		b.after(2 * time.Second)
		b.answered(b.asks(control.Request{Verb: "reload"}), control.Failed)
		p := commanded("/bin/sh")
		p.Env, p.MinUptime = []string{"NEW=1"}, time.Second
		next, refuse = Config{Name: "test", Programs: []Program{p}}, nil
		verdict := b.asks(control.Request{Verb: "reload"})
		b.after(time.Second)
		wantSignals(t, b.system.process(0), "3s leader 15")
		b.ends(0, proc.Exit{})
		b.answered(verdict, control.Done)
		wantSpec(t, b.system.process(1).spec, "NEW=1")
		b.signal(syscall.SIGTERM)
		b.ends(1, proc.Exit{})
		b.ends(2, proc.Exit{Signal: syscall.SIGKILL})
		b.returned(exitDone)
	})
}

// An upgrade that the next executable refuses, or the kernel, changes nothing:
// the lives are heard as before, to the half of a line that was said meanwhile.
func TestUpgradeThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := &fakeSystem{proof: errors.New("exit status 1")}
		p := program("web", 1, "sleep")
		b := runFakeWith(t, f, Config{Name: "test", Programs: []Program{p}}, Options{Upgrade: []string{"check"}})
		b.comesUp(0)
		v := b.answered(b.asks(control.Request{Verb: "upgrade"}), control.Failed)
		if !errorSays(errors.New(v.Text), "cannot go on from here: exit status 1: it says") || f.execs != 0 {
			t.Errorf("%d executed, verdict %+v", f.execs, v)
		}
		f.proof = nil
		f.process(0).print("half a ")
		v = b.answered(b.asks(control.Request{Verb: "upgrade"}), control.Failed)
		if !errorSays(errors.New(v.Text), "exec format error") || f.execs != 1 {
			t.Errorf("%d executed, verdict %+v", f.execs, v)
		}
		f.process(0).print("line\n")
		b.signal(syscall.SIGTERM)
		b.isAsked(0)
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
		if got := b.out.String(); got != "half a line\n" {
			t.Errorf("output %q", got)
		}
	})
}
