package supervisor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
)

// runTalking runs a program whose workers have said that they are ready.
func runTalking(t *testing.T, p Program) *bubble {
	t.Helper()
	b := runFake(t, p)
	for i := range p.Workers {
		b.comesUp(i)
	}
	b.at(0, "msg=ready\n")
	return b
}

// isAsked wants the ith process to have been told to drain.
func (b *bubble) isAsked(i int) *wire.Drain {
	b.t.Helper()
	m := b.isTold(i)
	if m.Drain == nil {
		b.t.Fatalf("process %d is told %+v, want a drain", i, m)
	}
	return m.Drain
}

// What a worker said before it ended counts, however late the loop hears of
// either: it drained, so its end is clean whatever its status.
func TestLastWordsComeBeforeTheEnd(t *testing.T) {
	for range 20 { // the order is wrong only now and then where nothing makes it
		inBubble(t, func(t *testing.T) {
			b := runTalking(t, program("web", 1, "sleep"))
			verdict := b.asks(control.Request{Verb: "stop"})
			b.isAsked(0)
			held, release := make(chan struct{}), make(chan struct{})
			go b.call(context.Background(), func() { close(held); <-release })
			<-held
			p := b.system.process(0)
			if err := p.channel.Send(wire.Message{Drained: &wire.Drained{}}); err != nil {
				t.Fatal(err)
			}
			p.end(proc.Exit{Code: 1})
			b.after(300 * time.Millisecond)
			close(release)
			synctest.Wait()
			b.answered(verdict, control.Done)
			b.returned(exitDone)
		})
	}
}

// A worker whose Serve has returned has closed its channel and lives on: the
// stop signal says to it what the message would have.
func TestClosedChannelMeansSignal(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runTalking(t, program("web", 1, "sleep"))
		p := b.system.process(0)
		p.channel.Close()
		b.after(time.Second)
		b.asks(control.Request{Verb: "stop"})
		wantSignals(t, p, "1s leader 15")
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}

// A worker that cannot send datagrams notifies on the channel. It has not said
// hello, so it is asked to end by signal.
func TestNotificationsOnTheChannel(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, program("web", 1, "sleep"))
		b.says(0, wire.Message{Notify: &wire.Notify{Text: "X_UNKNOWN=1\nREADY=1\nSTATUS=12 rooms"}})
		b.at(0, "msg=ready\n")
		st, err := b.Status(context.Background())
		if err != nil || st.Programs[0].Workers[0].Status != "12 rooms" {
			t.Errorf("its status: %+v, %v", st, err)
		}
		b.asks(control.Request{Verb: "stop"})
		b.isLeftAlone(0)
		wantSignals(t, b.system.process(0), "0s leader 15")
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}

// A worker that is stopped, by ^Z or a debugger, cannot obey a message either.
func TestAskedWorkerIsContinued(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runTalking(t, program("web", 1, "sleep"))
		b.asks(control.Request{Verb: "stop"})
		b.isAsked(0)
		if !b.system.process(0).continued() {
			t.Error("it is not continued")
		}
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}

// A signal to a process that is still becoming its program can be lost. As soon
// as a worker says that it has a channel it is told there too.
func TestSignalledBeforeHelloIsToldAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, program("web", 1, "sleep"))
		b.asks(control.Request{Verb: "stop"})
		wantSignals(t, b.system.process(0), "0s leader 15")
		b.says(0, wire.Message{Hello: &wire.Hello{}})
		b.isAsked(0)
		b.says(0, wire.Message{Drained: &wire.Drained{}})
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}
