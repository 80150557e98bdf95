package supervisor

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
)

func TestProcessThatCannotStart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := &fakeSystem{refuse: errors.New("no more processes")}
		b := runFakeWith(t, f, Config{Name: "test", Programs: []Program{program("web", 2, "sleep")}}, Options{})
		r := b.ended()
		if r.Code != exitNotUp || !errorSays(r.Err, "no more processes") {
			t.Errorf("report %+v", r)
		}
	})
}

// wantSignals wants what a process has heard, and when, since its start.
func wantSignals(t *testing.T, p *fakeProcess, want ...string) {
	t.Helper()
	if got := p.heard(); !slices.Equal(got, want) {
		t.Errorf("process %s has heard %q, want %q", p.spec.Args[0], got, want)
	}
}

// A slot is taken as long as anybody of the group lives.
func TestGroupOutlivesItsLeader(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := program("web", 1, "sleep")
		p.MinUptime, p.StopTimeout = time.Millisecond, 50*time.Millisecond
		b := runFake(t, p)
		b.after(time.Second)
		first := b.system.process(0)
		first.leave(proc.Exit{Code: 1})
		b.after(5 * time.Second)
		// To the group, since there is no leader; after the moment in which
		// most groups end, and then after the unwind time and its margin.
		wantSignals(t, first, "1.01s group 15", "1.76s group 9")
		if b.system.process(1) != nil {
			t.Error("the slot has a new life though the group lives")
		}
		first.hush()
		close(first.gone)
		b.after(time.Second)
		if b.system.process(1) == nil {
			t.Fatal("the slot has no new life")
		}
		verdict := b.asks(control.Request{Verb: "stop"})
		wantSignals(t, b.system.process(1), "1s leader 15")
		b.ends(1, proc.Exit{})
		b.answered(verdict, control.Done)
		b.returned(exitDone)
	})
}
