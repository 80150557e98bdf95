package lastcall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// supervisor is the other end of a worker's channel.
type supervisor struct {
	*serving
	server   *http.Server // the first
	channel  *wire.Channel
	spare    string            // the address of the last socket
	messages chan wire.Message // closed at the end of the worker
}

// supervise starts a worker as its supervisor would, in this process: on
// inherited sockets, of which this end keeps no copy unless asked to.
func supervise(t *testing.T, w *Worker, servers ...Server) *supervisor {
	t.Helper()
	var sockets []*inherited
	for _, name := range []string{"web", "spare"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, &inherited{Listener: l, name: name})
	}
	return superviseOn(t, w, sockets, servers...)
}

// superviseOn is supervise on the given sockets.
func superviseOn(t *testing.T, w *Worker, sockets []*inherited, servers ...Server) *supervisor {
	t.Helper()
	parent, fd, err := wire.Pair()
	if err != nil {
		t.Skip(err)
	}
	child, err := wire.OpenChannel(fd)
	if err != nil {
		t.Fatal(err)
	}
	in := &inheritance{worker: "web.0", channel: child, listeners: sockets}
	s := &supervisor{
		serving: &serving{Worker: w, t: t, end: make(chan error, 1), logs: &logBuffer{}},
		channel: parent, messages: make(chan wire.Message, 100),
		server: servers[0].HTTP,
	}
	w.Logger = slog.New(slog.NewTextHandler(s.logs, nil))
	t.Cleanup(func() { parent.Close(); process.reset() })
	s.addr, s.spare = in.listeners[0].Addr().String(), in.listeners[len(in.listeners)-1].Addr().String()
	go func() {
		defer close(s.messages)
		for {
			m, err := parent.Receive()
			if err != nil {
				return
			}
			s.messages <- m
		}
	}()
	go func() {
		s.end <- w.serve(context.Background(), func() (*inheritance, error) { return in, nil }, servers)
	}()
	if m := s.next(); m.Hello == nil || m.Hello.Package == "" {
		t.Fatalf("first message %+v, want Hello", m)
	}
	if m := s.next(); m.Ready == nil {
		t.Fatalf("second message %+v, want Ready", m)
	}
	return s
}

func (s *supervisor) next() wire.Message {
	s.t.Helper()
	return within(s.t, "a message of the worker", s.messages)
}

func (s *supervisor) send(m wire.Message) {
	s.t.Helper()
	if err := s.channel.Send(m); err != nil {
		s.t.Fatal(err)
	}
}

func (s *supervisor) drainWith(d wire.Drain) {
	s.t.Helper()
	s.send(wire.Message{Drain: &d})
}

// wantClosed wants the report that both listeners are closed.
func (s *supervisor) wantClosed() {
	s.t.Helper()
	if m := s.next(); m.Closed == nil || fmt.Sprint(m.Closed.Listeners) != "[web spare]" {
		s.t.Fatalf("got %+v, want Closed of web and spare", m)
	}
}

func web(h http.Handler) Server { return Server{Name: "web", HTTP: &http.Server{Handler: h}} }

// TestChannelStop goes through a whole life.
func TestChannelStop(t *testing.T) {
	g, download := newGatekeeper(), newGatekeeper()
	mux := http.NewServeMux()
	mux.Handle("POST /work/{name}", g)
	mux.Handle("GET /stream", Expendable(download))
	s := supervise(t, &Worker{}, web(mux))
	work, stream, idle := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	idle.get("/none")
	idle.response()
	stream.get("/stream")
	<-download.entered
	work.send("POST /work/a HTTP/1.1\r\nHost: test\r\n\r\n")
	<-g.entered

	var in *wire.Inflight
	eventually(t, "the first request has ended", func() bool {
		s.send(wire.Message{List: &wire.List{Request: 7, Max: 1}})
		in = s.next().Inflight
		return in.Idle == 1
	})
	if in == nil || in.Request != 7 || in.Critical != 1 || in.Expendable != 1 || in.Idle != 1 || in.Served != 1 || in.Left != 0 || in.More {
		t.Fatalf("inflight %+v", in)
	}
	if o := in.Operations; len(o) != 1 || o[0].Name != "POST" || o[0].Route != "/work/{name}" || o[0].Class != wire.Critical ||
		o[0].State != "running" || o[0].Client != work.LocalAddr().String() || o[0].Age <= 0 {
		t.Errorf("operations %+v", o)
	}

	s.drainWith(wire.Drain{Reason: wire.ReasonStop, Timeout: time.Hour})
	s.wantClosed()
	s.send(wire.Message{List: &wire.List{Request: 8}})
	if in := s.next().Inflight; in == nil || in.Left <= 0 || len(in.Operations) != 0 {
		t.Errorf("inflight while draining %+v", in)
	}
	close(download.leave)
	stream.response()
	eventually(t, "the stream has ended", func() bool {
		s.send(wire.Message{List: &wire.List{}})
		return s.next().Inflight.Expendable == 0
	})
	close(g.leave)
	work.response()
	d := s.next().Drained
	if d == nil || d.Finished != 2 || len(d.Cut) != 0 {
		t.Errorf("drained %+v", d)
	}
	s.drained()
	if _, open := <-s.messages; open {
		t.Error("more after Drained")
	}
	if strings.Contains(s.logs.String(), "still draining") {
		t.Error("it tells its log what it should tell its supervisor")
	}
}

// TestChannelRoll holds idle connections: the next request is answered, with
// close.
func TestChannelRoll(t *testing.T) {
	s := supervise(t, &Worker{}, web(http.HandlerFunc(ok)))
	asks, silent := dial(t, s.addr), dial(t, s.addr)
	asks.roundTrip("/")
	silent.roundTrip("/")
	begin := time.Now()
	s.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour})
	s.wantClosed()
	<-time.After(20 * time.Millisecond) // the client thinks
	asks.get("/")
	if r, body := asks.response(); !r.Close || body != "ok" {
		t.Errorf("%s, close %v, %q", r.Status, r.Close, body)
	}
	silent.closed()
	if d := time.Since(begin); d < rollLinger {
		t.Errorf("an idle connection was closed after %v", d)
	}
	s.drained()
}

// TestChannelRollExpendable lets expendable operations run on a roll, and cuts
// them at the deadline, which is no error.
func TestChannelRollExpendable(t *testing.T) {
	g := newGatekeeper()
	defer close(g.leave)
	s := supervise(t, &Worker{}, web(Expendable(g)))
	c := dial(t, s.addr)
	c.get("/")
	r := <-g.entered
	const deadline = 100 * time.Millisecond
	begin := time.Now()
	s.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: deadline, UnwindTimeout: time.Millisecond})
	s.wantClosed()
	within(t, "the operation is cut", r.Context().Done())
	if d := time.Since(begin); d < deadline {
		t.Errorf("cut after %v", d)
	}
	if d := s.next().Drained; d == nil || d.Finished != 0 || len(d.Cut) != 0 {
		t.Errorf("drained %+v", d)
	}
	s.drained()
}

// TestChannelHold waits for Quit when drained.
func TestChannelHold(t *testing.T) {
	exited := make(chan struct{})
	s := supervise(t, &Worker{OnExit: func(context.Context) { close(exited) }}, web(http.HandlerFunc(ok)))
	s.drainWith(wire.Drain{Timeout: time.Hour, Hold: true})
	s.wantClosed()
	if m := s.next(); m.Drained == nil {
		t.Fatalf("got %+v, want Drained", m)
	}
	s.send(wire.Message{List: &wire.List{Request: 1}}) // it still answers
	if m := s.next(); m.Inflight == nil {
		t.Fatalf("got %+v, want Inflight", m)
	}
	if isClosed(exited) || len(s.end) > 0 {
		t.Error("it has not waited for Quit")
	}
	s.send(wire.Message{Quit: &wire.Quit{}})
	within(t, "OnExit", exited)
	s.drained()
}

// TestChannelHoldEnds has the deadline end the wait for Quit.
func TestChannelHoldEnds(t *testing.T) {
	s := supervise(t, &Worker{}, web(http.HandlerFunc(ok)))
	s.drainWith(wire.Drain{Timeout: 50 * time.Millisecond, Hold: true})
	s.drained()
}

// TestChannelCut cuts by order, and reports what.
func TestChannelCut(t *testing.T) {
	g := newGatekeeper()
	defer close(g.leave)
	s := supervise(t, &Worker{UnwindTimeout: time.Millisecond}, web(g))
	for range 250 { // more than a page
		c := dial(t, s.addr)
		c.get("/" + strings.Repeat("<", 300))
		<-g.entered
	}
	s.drainWith(wire.Drain{Timeout: time.Hour})
	s.wantClosed()
	s.send(wire.Message{Cut: &wire.CutOrder{}})
	n := 0
	for {
		d := s.next().Drained
		if d == nil {
			t.Fatal("want Drained")
		}
		for _, o := range d.Cut {
			if o.Name != "GET" || !strings.HasPrefix(o.Route, "/<<<") || o.Class != wire.Critical || o.Client == "" {
				t.Fatalf("cut %+v", o)
			}
		}
		if n += len(d.Cut); !d.More {
			break
		}
	}
	if n != 250 {
		t.Errorf("%d operations reported", n)
	}
	var cut *CutError
	if err := s.wait(); !errors.As(err, &cut) || len(cut.Operations) != 250 {
		t.Errorf("Serve: %.200v", err)
	}
}

// TestChannelDrainAgain moves the deadline, both ways.
func TestChannelDrainAgain(t *testing.T) {
	g := newGatekeeper()
	defer close(g.leave)
	s := supervise(t, &Worker{UnwindTimeout: time.Millisecond}, web(g))
	c := dial(t, s.addr)
	c.get("/")
	<-g.entered
	s.drainWith(wire.Drain{Timeout: 500 * time.Millisecond})
	s.wantClosed()
	s.drainWith(wire.Drain{Timeout: time.Hour})
	eventually(t, "the deadline is moved", func() bool {
		s.send(wire.Message{List: &wire.List{}})
		return s.next().Inflight.Left > time.Minute
	})
	if len(s.end) > 0 {
		t.Error("cut")
	}
	s.drainWith(wire.Drain{Timeout: time.Millisecond})
	var cut *CutError
	if err := s.wait(); !errors.As(err, &cut) {
		t.Errorf("Serve: %v", err)
	}
}

// TestChannelSettings has the supervisor's settings go before the worker's.
func TestChannelSettings(t *testing.T) {
	own := Worker{DrainTimeout: time.Minute, UnwindTimeout: 1, FreshGrace: 2, ExpendableGrace: 3, StallTimeout: 4, Policy: WaitCritical}
	got := own.plan("", true).follow(&wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour, UnwindTimeout: 11, FreshGrace: 12,
		ExpendableGrace: 13, StallTimeout: 14, Policy: wire.WaitTime, Hold: true}, own.DrainTimeout)
	want := plan{why: "asked by the supervisor to roll", roll: true, hold: true, ending: true, timeout: time.Minute, unwind: 11,
		expendable: 13, policy: WaitTime, leaving: leaving{idle: rollLinger, fresh: 12, stall: 14}}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	got = own.plan("", true).follow(&wire.Drain{Timeout: time.Second, Policy: "later"}, own.DrainTimeout)
	want = plan{why: "asked by the supervisor to stop", ending: true, timeout: time.Second, unwind: 1,
		expendable: 3, policy: WaitCritical, leaving: leaving{fresh: 2, stall: 4}}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if alone := own.plan("", false); !alone.quiesce || alone.roll || alone.hold || alone.ending {
		t.Errorf("alone: %+v", alone)
	}
	for _, test := range []struct{ given, own, want time.Duration }{
		{0, 0, defaultDrainTimeout}, {0, 7, 7}, {7, 0, 7}, {7, 5, 5}, {5, 7, 5}, {5, -1, 0},
	} {
		if got := shorter(test.given, test.own); got != test.want {
			t.Errorf("shorter(%d, %d) = %d, want %d", test.given, test.own, got, test.want)
		}
	}
}

// TestChannelEOF drains when the supervisor dies, holding or not.
func TestChannelEOF(t *testing.T) {
	for _, hold := range []bool{false, true} {
		g := newGatekeeper()
		s := supervise(t, &Worker{}, web(g))
		c := dial(t, s.addr)
		c.get("/")
		<-g.entered
		if hold {
			s.drainWith(wire.Drain{Timeout: time.Hour, Hold: true})
			s.wantClosed()
		}
		s.channel.Close()
		eventually(t, "newcomers are refused", func() bool {
			c, err := net.Dial("tcp", s.addr)
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		close(g.leave)
		if _, body := c.response(); body != "done" {
			t.Errorf("%q", body)
		}
		s.drained()
	}
}

// TestInheritedListeners finds the socket a server is for.
func TestInheritedListeners(t *testing.T) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, port, _ := net.SplitHostPort(b.Addr().String())
	for _, test := range []struct {
		name, addr string
		one        bool
		want       string // the socket's name, or part of the error
	}{
		{"a", "", false, "a"},
		{"b", ":1", false, "b"},
		{"", "", true, "a"},
		{"", ":1", true, "a"},
		{"", ":" + port, false, "b"},
		{"", "localhost:" + port, false, "b"},
		{"", "0.0.0.0:" + port, false, "b"},
		{"", "127.0.0.9:" + port, false, `there are "a" on`},
		{"", "", false, `there are "a" on`},
		{"c", ":" + port, false, `there are "a" on`},
	} {
		in := &inheritance{listeners: []*inherited{{Listener: a, name: "a"}}}
		if !test.one {
			in.listeners = append(in.listeners, &inherited{Listener: b, name: "b"})
		}
		_, got, err := in.listen(test.name, test.addr)
		if err != nil {
			got = err.Error()
		}
		if got != test.want && (err == nil || !strings.Contains(got, test.want)) {
			t.Errorf("%+v: %s", test, got)
		}
		if err == nil {
			if _, _, err := in.listen(test.name, test.addr); err == nil {
				t.Errorf("%+v: given twice", test)
			}
		}
	}
}

// TestPages spreads operations over messages.
func TestPages(t *testing.T) {
	for _, n := range []int{0, 1, wire.PageSize, wire.PageSize + 1, 3 * wire.PageSize} {
		var ops []wire.Operation
		for i := range n {
			ops = append(ops, onWire(CutOperation{Name: strings.Repeat("\x01", 999), Route: fmt.Sprint(i)}, ""))
		}
		got, last := 0, false
		for _, m := range paged(ops, func(p []wire.Operation, more bool) wire.Message {
			return wire.Message{Drained: &wire.Drained{Cut: p, More: more}}
		}) {
			if _, err := wire.Encode(m); err != nil {
				t.Error(err)
			}
			if last {
				t.Error("a page after the last")
			}
			last = !m.Drained.More
			for _, o := range m.Drained.Cut {
				if o.Route != fmt.Sprint(got) {
					t.Fatalf("operation %s in place of %d", o.Route, got)
				}
				got++
			}
		}
		if got != n || !last {
			t.Errorf("%d of %d operations, last %v", got, n, last)
		}
	}
}
