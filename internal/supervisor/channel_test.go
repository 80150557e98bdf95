package supervisor

import (
	"context"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
	"golang.org/x/sys/unix"
)

// A talkingSystem is a fakeSystem that keeps the worker's end of each channel,
// so that a test can speak for it.
type talkingSystem struct {
	fakeSystem
	ends []*wire.Channel
}

func (f *talkingSystem) boot() (system, error) {
	return system{start: f.start, close: func() error { return nil }}, nil
}

func (f *talkingSystem) start(spec proc.Spec) (process, error) {
	fd, err := unix.Dup(spec.Files[len(spec.Files)-1]) // the supervisor closes its own
	if err != nil {
		return nil, err
	}
	c, err := wire.OpenChannel(fd)
	if err != nil {
		return nil, err
	}
	p, err := f.fakeSystem.start(spec)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends = append(f.ends, c)
	return p, err
}

func (f *talkingSystem) end(i int) *wire.Channel {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= len(f.ends) {
		return nil
	}
	return f.ends[i]
}

// quit ends process i and its end of the channel.
func (f *talkingSystem) quit(i int, e proc.Exit) {
	f.end(i).Close()
	f.process(i).end(e, true)
}

// runTalking runs a program whose workers have said that they are ready.
func runTalking(t *testing.T, p Program) (*stage, *talkingSystem) {
	t.Helper()
	f := &talkingSystem{}
	s := runWith(t, Config{Name: "test", Programs: []Program{p}}, f.boot)
	for i := range p.Workers {
		s.until("it is started", func() bool { return f.end(i) != nil })
		if err := f.end(i).Send(wire.Message{Hello: &wire.Hello{}}, wire.Message{Ready: &wire.Ready{}}); err != nil {
			t.Fatal(err)
		}
	}
	s.logged("msg=ready\n")
	return s, f
}

// stopLater asks for a stop and does not wait for it.
func (s *stage) stopLater() {
	go s.Do(context.Background(), control.Request{Verb: "stop"}, func([]control.Progress) {})
}

// await reads messages of the supervisor up to one that will do.
func await(t *testing.T, c *wire.Channel, ok func(wire.Message) bool) {
	t.Helper()
	late := time.AfterFunc(20*time.Second, func() { _ = c.Close() })
	defer late.Stop()
	for {
		m, err := c.Receive()
		if err != nil {
			t.Fatalf("the message does not come: %v", err)
		}
		if ok(m) {
			return
		}
	}
}

func isDrain(m wire.Message) bool { return m.Drain != nil }

// What a worker said before it ended counts, however late the loop hears of
// either: it drained, so its end is clean whatever its status.
func TestLastWordsComeBeforeTheEnd(t *testing.T) {
	for range 6 { // the order is wrong only now and then where nothing makes it
		s, f := runTalking(t, program("web", 1, "sleep"))
		s.stopLater()
		await(t, f.end(0), isDrain)
		held, release := make(chan struct{}), make(chan struct{})
		go s.call(context.Background(), func() { close(held); <-release })
		<-held
		if err := f.end(0).Send(wire.Message{Drained: &wire.Drained{}}); err != nil {
			t.Fatal(err)
		}
		f.quit(0, proc.Exit{Code: 1})
		// Longer than anything in the supervisor waits for last words by the
		// clock: the fault this is about shows only after that.
		<-time.After(300 * time.Millisecond)
		close(release)
		if r := s.ended(); r.Code != 0 {
			t.Fatalf("report %+v of a worker that said it had drained", r)
		}
	}
}

// A worker whose Serve has returned has closed its channel and lives on: the
// stop signal says to it what the message would have.
func TestClosedChannelMeansSignal(t *testing.T) {
	s, f := runTalking(t, program("web", 1, "sleep"))
	f.end(0).Close()
	s.stopLater()
	p := f.process(0)
	s.until("it is told", func() bool { return p.heard("leader 15") || p.heard("group 9") })
	if !p.heard("leader 15") {
		t.Error("it was killed, and never told to stop")
	}
	p.end(proc.Exit{}, true)
	if r := s.ended(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// A worker that is stopped, by ^Z or a debugger, cannot obey a message either.
func TestAskedWorkerIsContinued(t *testing.T) {
	s, f := runTalking(t, program("web", 1, "sleep"))
	s.stopLater()
	await(t, f.end(0), isDrain)
	p := f.process(0)
	s.until("it is continued", func() bool { return p.heard("group 18") || p.heard("group 9") })
	if !p.heard("group 18") {
		t.Error("it was killed, and never continued")
	}
	f.quit(0, proc.Exit{})
	s.ended()
}

// A signal to a process that is still becoming its program can be lost. As soon
// as a worker says that it has a channel it is told there too.
func TestSignalledBeforeHelloIsToldAgain(t *testing.T) {
	f := &talkingSystem{}
	s := runWith(t, Config{Name: "test", Programs: []Program{program("web", 1, "sleep")}}, f.boot)
	s.until("it is started", func() bool { return f.end(0) != nil })
	s.stopLater()
	p := f.process(0)
	s.until("it is signalled", func() bool { return p.heard("leader 15") })
	if err := f.end(0).Send(wire.Message{Hello: &wire.Hello{}}); err != nil {
		t.Fatal(err)
	}
	await(t, f.end(0), isDrain)
	if err := f.end(0).Send(wire.Message{Drained: &wire.Drained{}}); err != nil {
		t.Fatal(err)
	}
	f.quit(0, proc.Exit{})
	if r := s.ended(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}
