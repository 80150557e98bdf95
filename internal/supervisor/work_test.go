package supervisor

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
)

// notes lets the ith process say something on its notify socket.
func (b *bubble) notes(i int, lines ...string) {
	b.t.Helper()
	if err := b.system.process(i).notify.put(strings.Join(lines, "\n")); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// inflight returns what is in progress, and what status says of its number.
func (b *bubble) inflight() ([]control.Operation, int) {
	b.t.Helper()
	list, err := b.Inflight(context.Background(), "")
	if err != nil {
		b.t.Fatal(err)
	}
	st, err := b.Status(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return list, st.Programs[0].Workers[0].Inflight
}

// One that begins and never ends does not fill the memory, and is warned of once.
func TestWorkIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, program("web", 1, "sleep"))
		b.notes(0, "READY=1")
		if list, n := b.inflight(); len(list) != 0 || n != -1 {
			t.Errorf("%d listed, %d counted of one that has said nothing", len(list), n)
		}
		for i := range maxWork/100 + 2 {
			var lines []string
			for j := range 100 {
				lines = append(lines, fmt.Sprint("X_LASTCALL_BEGIN=", i*100+j))
			}
			b.notes(0, lines...)
		}
		if list, n := b.inflight(); len(list) != maxListed || n != maxWork || list[0].Name != "0" || list[0].Class != "critical" {
			t.Errorf("%d listed, %d counted, first %+v", len(list), n, list[0])
		}
		if n := b.count("too many operations"); n != 1 {
			t.Errorf("warned %d times", n)
		}
		b.notes(0, "X_LASTCALL_END=0", "X_LASTCALL_BEGIN=again")
		if list, n := b.inflight(); n != maxWork || list[0].Name != "1" {
			t.Errorf("%d counted, first %+v", n, list[0])
		}
		b.signal(syscall.SIGTERM)
		b.ends(0, proc.Exit{})
		b.returned(exitCut)
	})
}

// What a worker has said before it opened its channel is forgotten: from then on
// it answers there.
func TestWorkOfOneWithAChannel(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, program("web", 1, "sleep"))
		b.says(0, wire.Message{Notify: &wire.Notify{Text: "X_LASTCALL_BEGIN=a\nSTATUS=here"}})
		if list, n := b.inflight(); len(list) != 1 || n != 1 {
			t.Errorf("%v listed, %d counted", list, n)
		}
		b.comesUp(0)
		b.notes(0, "X_LASTCALL_BEGIN=b")
		if list, n := b.inflight(); len(list) != 0 || n != -1 { // it does not answer
			t.Errorf("%v listed, %d counted", list, n)
		}
		b.signal(syscall.SIGTERM)
		b.isTold(0)
		b.says(0, wire.Message{Drained: &wire.Drained{}})
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}

// The stop signal comes when the work has ended, and never before the worker has
// had a moment to say that it has some; to the moment.
func TestCloseSignalIsExact(t *testing.T) {
	for _, busy := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			p := program("web", 1, "sleep")
			p.CloseSignal = syscall.SIGWINCH
			p.StopSteps = []StopStep{{time.Second, syscall.SIGINT}}
			b := runFake(t, p)
			b.notes(0, "READY=1")
			b.after(time.Second)
			b.signal(syscall.SIGTERM)
			b.after(100 * time.Millisecond)
			want := []string{"1s leader 28", "1.25s leader 15", "2.25s leader 2"}
			if busy {
				b.notes(0, "X_LASTCALL_BEGIN=a")
				b.after(1900 * time.Millisecond)
				b.notes(0, "X_LASTCALL_END=a")
				want = []string{"1s leader 28", "3s leader 15", "4s leader 2"}
			}
			b.after(2 * time.Second)
			wantSignals(t, b.system.process(0), want...)
			b.ends(0, proc.Exit{Signal: syscall.SIGINT})
			b.returned(exitDone)
		})
	}
}

// While it reloads a worker serves; the log and status say so.
func TestReloadingByItself(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, program("web", 1, "sleep"))
		b.notes(0, "READY=1")
		reason := func() string {
			st, err := b.Status(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return st.Programs[0].Workers[0].State + " " + st.Programs[0].Workers[0].Reason
		}
		b.notes(0, "RELOADING=1\nMONOTONIC_USEC=5\nMAINPID=7")
		if got := reason(); got != "ready reloading" {
			t.Error(got)
		}
		b.notes(0, "READY=1\nMAINPID=7")
		if got := reason(); got != "ready " {
			t.Error(got)
		}
		if b.count("msg=reloading") != 1 || b.count(`msg="reloaded by itself"`) != 1 {
			t.Error("the log does not say so, or twice")
		}
		b.signal(syscall.SIGTERM)
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}

// What a worker says last is heard before its end is judged, however late the
// loop comes to it.
func TestLastWordsAreHeard(t *testing.T) {
	file := t.TempDir() + "/go"
	s := run(t, Config{Name: "test", Programs: []Program{program("web", 1, "linger", file)}})
	s.logged("msg=ready\n")
	s.signals <- syscall.SIGTERM
	s.logged("msg=draining")
	s.call(context.Background(), func() {
		touch(t, file)
		for _, l := range s.lives {
			select {
			case <-l.over.Done():
			case <-time.After(5 * time.Second): // its end may wait for the loop
			}
		}
	})
	if r := s.ended(); r.Code != exitDone {
		t.Errorf("report %+v", r)
	}
}
