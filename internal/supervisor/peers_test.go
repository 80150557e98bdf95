package supervisor

import (
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
	"golang.org/x/sys/unix"
)

// comesUpMoving is comesUp of a worker that can move connections.
func (b *bubble) comesUpMoving(i int) {
	b.t.Helper()
	b.says(i, wire.Message{Hello: &wire.Hello{Features: []string{"levitate", wire.FeatureMove}}}, wire.Message{Ready: &wire.Ready{}})
}

// meets wants the next message to the ith process to introduce it.
func (b *bubble) meets(i int, want wire.Peer) {
	b.t.Helper()
	if m := b.isTold(i); m.Peer == nil || cmp.Diff(want, *m.Peer) != "" {
		b.t.Errorf("process %d is told %+v, want %+v", i, m.Peer, want)
	}
}

// isLeftAlone wants no message to the ith process to be there, but its tickets.
func (b *bubble) isLeftAlone(i int) {
	b.t.Helper()
	q := b.system.process(i).channel.in
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.items {
		if m.Tickets == nil {
			b.t.Errorf("process %d is told %+v", i, m)
		}
	}
}

// A worker that is rolled is told to drain, and then whom it can hand its
// connections to: its successor, and later the next one; once each, and again if
// it says that it has lost one.
func TestDrainingWorkersAreIntroduced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, program("web", 2, "sleep"))
		b.comesUpMoving(0)
		b.comesUpMoving(1)
		verdict := b.asks(control.Request{Verb: "restart", Target: "web"})
		b.comesUpMoving(2)
		if d := b.isAsked(0); !d.Move || d.Reason != wire.ReasonRoll {
			t.Errorf("told %+v, want a roll that moves", d)
		}
		b.meets(0, wire.Peer{Worker: "web.0", Life: 3, Offer: true, FD: -2})
		b.meets(2, wire.Peer{Worker: "web.0", Life: 1, FD: -3})
		b.comesUp(3) // which cannot
		b.isAsked(1)
		b.meets(1, wire.Peer{Worker: "web.0", Life: 3, Offer: true, FD: -4})
		b.meets(2, wire.Peer{Worker: "web.1", Life: 2, FD: -5})
		b.isLeftAlone(0)
		b.isLeftAlone(3)
		b.says(0, wire.Message{Lost: &wire.Lost{Worker: "web.0", Life: 3}})
		b.meets(0, wire.Peer{Worker: "web.0", Life: 3, Offer: true, FD: -6})
		b.meets(2, wire.Peer{Worker: "web.0", Life: 1, FD: -7})
		for _, nobody := range []wire.Lost{{Worker: "web.0", Life: 9}, {Worker: "web.9", Life: 3}, {Worker: "web.1", Life: 4}} {
			b.says(0, wire.Message{Lost: &nobody})
		}
		b.isLeftAlone(0)
		b.says(0, wire.Message{Drained: &wire.Drained{Moved: 7}})
		b.ends(0, proc.Exit{})
		b.ends(1, proc.Exit{})
		b.answered(verdict, control.Done)
		if n := b.count("moved=7"); n != 1 || b.count("moved=") != 1 {
			t.Errorf("%d lines say how many have moved:\n%s", n, b.log)
		}
		b.signal(syscall.SIGTERM)
		if d := b.isAsked(2); d.Move {
			t.Error("on a stop it is told that peers follow")
		}
		b.isLeftAlone(2)
		b.ends(2, proc.Exit{})
		b.ends(3, proc.Exit{})
		b.returned(exitDone)
	})
}

// An introduction that cannot be made is logged, and nothing else happens: no
// signal, no other verdict.
func TestIntroductionThatFails(t *testing.T) {
	for what, spoil := range map[string]func(*bubble){
		"no descriptors":   func(b *bubble) { b.system.pairless = unix.EMFILE },
		"the peer is deaf": func(b *bubble) { b.system.process(1).channel.in.hangUp() },
		"the peer has ended, with something unread": func(b *bubble) { b.system.process(1).channel.in.hangUpUnread() },
		"the drainer hears":                         func(*bubble) {},
	} {
		inBubble(t, func(t *testing.T) {
			b := runFake(t, program("web", 1, "sleep"))
			b.comesUpMoving(0)
			verdict := b.asks(control.Request{Verb: "restart", Target: "web"})
			spoil(b)
			b.comesUpMoving(1)
			if !b.isAsked(0).Move {
				t.Errorf("%s: it is not told that peers follow", what)
			}
			want := 1
			switch what {
			case "the peer is deaf", "the peer has ended, with something unread":
				want = 0 // it is taken for one that has ended
			case "the drainer hears":
				want = 0
				b.meets(0, wire.Peer{Worker: "web.0", Life: 2, Offer: true, FD: -2})
			}
			b.isLeftAlone(0)
			if n := strings.Count(b.log.String(), "msg=introduce "); n != want {
				t.Errorf("%s: %d failures are logged, want %d", what, n, want)
			}
			if b.count("msg=channel ") > 0 {
				t.Errorf("%s: that its channel is closed is logged:\n%s", what, b.log)
			}
			wantSignals(t, b.system.process(0))
			wantSignals(t, b.system.process(1))
			b.ends(0, proc.Exit{})
			b.answered(verdict, control.Done)
			b.signal(syscall.SIGTERM)
			b.ends(1, proc.Exit{})
			b.returned(exitDone)
		})
	}
}

// The supervisor keeps no end of a pair, whether both are told or not.
func TestNoEndIsKept(t *testing.T) {
	for _, deaf := range []int{-1, 0, 1} {
		inBubble(t, func(t *testing.T) {
			b := runFakeWith(t, &fakeSystem{real: true}, Config{Name: "test", Programs: []Program{program("web", 1, "sleep")}}, Options{})
			b.comesUpMoving(0)
			b.asks(control.Request{Verb: "restart", Target: "web"})
			if deaf >= 0 {
				b.system.process(deaf).channel.in.hangUp()
			}
			b.comesUpMoving(1)
			if len(b.system.minted) != 2 {
				t.Fatalf("%d ends were made", len(b.system.minted))
			}
			for _, fd := range b.system.minted {
				if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
					t.Errorf("deaf %d: descriptor %d is open: %v", deaf, fd, err)
				}
			}
			b.ends(0, proc.Exit{})
			b.signal(syscall.SIGTERM)
			b.ends(1, proc.Exit{})
			b.returned(exitDone)
		})
	}
}
