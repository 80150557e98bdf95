package supervisor

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
)

// A bubble is a stage with another operating system, and a clock that stands
// still while anybody has something to do: times are exact in it.
type bubble struct {
	*stage
	system *fakeSystem
	began  time.Time
}

// inBubble runs f in a bubble of package synctest, which fails unless all that
// f has begun has ended with it. It needs no time.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t)
		// Some goroutines end by a clock, which ends with f.
		<-time.After(10 * time.Second)
	})
}

// runFake runs a supervisor of programs; it is in a bubble.
func runFake(t *testing.T, programs ...Program) *bubble {
	t.Helper()
	return runFakeWith(t, &fakeSystem{}, Config{Name: "test", Programs: programs}, Options{})
}

func runFakeWith(t *testing.T, f *fakeSystem, c Config, o Options) *bubble {
	t.Helper()
	b := &bubble{
		stage:  &stage{t: t, log: &lockedBuffer{}, out: &lockedBuffer{}, report: make(chan Report, 1)},
		system: f, began: time.Now(),
	}
	o.Logger = slog.New(slog.NewTextHandler(b.log, nil))
	o.Stdout, o.Stderr, o.LeaveSignals = b.out, b.out, true
	var err error
	if b.Supervisor, err = New(c, o); err != nil {
		t.Fatal(err)
	}
	b.boot = f.boot
	go func() { b.report <- b.Run() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s\noutput:\n%s", b.log, b.out)
		}
	})
	synctest.Wait()
	return b
}

// after lets time pass, and all come to rest.
func (b *bubble) after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// says lets the ith process say something over its channel.
func (b *bubble) says(i int, messages ...wire.Message) {
	b.t.Helper()
	if err := b.system.process(i).channel.Send(messages...); err != nil {
		b.t.Fatalf("process %d says %+v: %v", i, messages, err)
	}
	synctest.Wait()
}

// comesUp lets the ith process say that it is ready, over its channel.
func (b *bubble) comesUp(i int) {
	b.t.Helper()
	b.says(i, wire.Message{Hello: &wire.Hello{}}, wire.Message{Ready: &wire.Ready{}})
}

// isTold wants the next message to the ith process, after its tickets; it does
// not wait for one.
func (b *bubble) isTold(i int) wire.Message {
	b.t.Helper()
	m := b.isSent(i)
	for m.Tickets != nil {
		m = b.isSent(i)
	}
	return m
}

// isSent wants the next message to the ith process, whatever it is.
func (b *bubble) isSent(i int) wire.Message {
	b.t.Helper()
	q := b.system.process(i).channel.in
	q.mu.Lock()
	n := len(q.items)
	q.mu.Unlock()
	if n == 0 {
		b.t.Fatalf("process %d is told nothing", i)
	}
	m, err := q.get()
	if err != nil {
		b.t.Fatalf("process %d is told nothing: %v", i, err)
	}
	return m
}

// ends lets the ith process end.
func (b *bubble) ends(i int, e proc.Exit) {
	b.system.process(i).end(e)
	synctest.Wait()
}

// signal sends the supervisor a signal.
func (b *bubble) signal(s syscall.Signal) {
	b.signals <- s
	synctest.Wait()
}

// asks has an operator ask for something; the verdict comes when it comes.
func (b *bubble) asks(r control.Request) <-chan control.Verdict {
	verdict := make(chan control.Verdict, 1)
	go func() { verdict <- b.Do(context.Background(), r, func([]control.Progress) {}) }()
	synctest.Wait()
	return verdict
}

// answered wants a verdict that is there by now.
func (b *bubble) answered(verdict <-chan control.Verdict, code int) control.Verdict {
	b.t.Helper()
	select {
	case v := <-verdict:
		if v.Code != code {
			b.t.Errorf("verdict %+v, want code %d", v, code)
		}
		return v
	default:
		b.t.Errorf("no verdict, want code %d", code)
		return control.Verdict{}
	}
}

// returned wants Run to have returned by now.
func (b *bubble) returned(code int) {
	b.t.Helper()
	select {
	case r := <-b.report:
		if r.Code != code {
			b.t.Errorf("report %+v, want code %d", r, code)
		}
	default:
		b.t.Fatalf("Run has not returned, want code %d", code)
	}
}

// at wants a line of the log that has the text, the first one, at a time.
func (b *bubble) at(want time.Duration, text string) {
	b.t.Helper()
	for line := range strings.Lines(b.log.String()) {
		if !strings.Contains(line, text) {
			continue
		}
		stamp, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		when, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			b.t.Fatal(err)
		}
		if got := when.Sub(b.began); got != want {
			b.t.Errorf("%q is logged after %v, want %v", text, got, want)
		}
		return
	}
	b.t.Errorf("%q is not logged", text)
}

// count counts the lines of the log that have the text.
func (b *bubble) count(text string) int { return strings.Count(b.log.String(), text) }

// client connects, and stays until the test ends.
func client(t *testing.T, a sock.Address) {
	t.Helper()
	c, err := net.Dial(a.Network, a.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
}
