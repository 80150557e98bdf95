package lastcall

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// TestAcceptBesideAdoptions has a listener accept and adopt at the same time,
// many times: none of both gets lost, and Accept never fails.
func TestAcceptBesideAdoptions(t *testing.T) {
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: nl, wake: make(chan struct{}, 1)}
	got := make(chan error, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err == errListenerDone {
				return
			}
			if err == nil {
				_ = c.Close()
			}
			got <- err
		}
	}()
	const rounds, each = 2000, 4
	for range rounds {
		for range each {
			one, other := net.Pipe()
			_ = other.Close()
			if !l.adopt(one, func(c net.Conn) net.Conn { return c }) {
				t.Fatal("not adopted")
			}
		}
		c, err := net.Dial("tcp", nl.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for range each + 1 {
			if err := within(t, "a connection is accepted", got); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Close()
	}
	l.stop(false, false)
	within(t, "the end", done)
}

// TestNobodyWantsIt has siblings refuse connections for good, since they serve
// nothing under that name: clients are asked to go, and the drain ends.
func TestNobodyWantsIt(t *testing.T) {
	f := newFamily(t, answers)
	quiet, busy := dial(t, f.current.addr), dial(t, f.current.addr)
	quiet.roundTrip("/")
	busy.roundTrip("/")
	old := f.current
	f.socketName = "other"
	f.current = f.start()
	defer f.end()
	old.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour, Move: true})
	f.introduce(old, f.current)
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for closes := false; !closes; <-pace.C {
		busy.get("/")
		r, _ := busy.response()
		closes = r.Close
	}
	quiet.closed()
	if report := f.gone(old); report.Moved > 0 || len(report.Cut) > 0 {
		t.Errorf("report %+v", report)
	}
}

// TestMoveWhateverTheMethod: a client may make its method longer than any
// message.
func TestMoveWhateverTheMethod(t *testing.T) {
	f := newFamily(t, answers)
	defer f.end()
	c := dial(t, f.current.addr)
	c.send(strings.Repeat("A", 5000) + " / HTTP/1.1\r\nHost: t\r\n\r\n")
	if r, _ := c.response(); r.StatusCode != http.StatusOK || r.Close {
		t.Fatalf("%s, close %v", r.Status, r.Close)
	}
	if report := f.gone(f.roll()); report.Moved != 1 {
		t.Errorf("report %+v, want 1 moved", report)
	}
}

// withH2C has a server speak HTTP/2 without TLS too.
func withH2C(s *http.Server) *http.Server {
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// A slowStart sends the first bytes of what is written in two pieces.
type slowStart struct {
	net.Conn
	begun bool
}

func (c *slowStart) Write(p []byte) (int, error) {
	if c.begun || len(p) < 4 {
		return c.Conn.Write(p)
	}
	c.begun = true
	if n, err := c.Conn.Write(p[:3]); err != nil {
		return n, err
	}
	<-time.After(20 * time.Millisecond)
	n, err := c.Conn.Write(p[3:])
	return n + 3, err
}

// TestHTTP2IsNotMoved though its beginning comes in pieces, and looks like a
// request of HTTP/1.
func TestHTTP2IsNotMoved(t *testing.T) {
	f := newFamily(t, func(name string) *http.Server { return withH2C(answers(name)) })
	defer f.end()
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		return &slowStart{Conn: c}, err
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: patience}
	post := func() {
		r, err := client.Post("http://"+f.current.addr+"/", "text/plain", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if b, err := io.ReadAll(r.Body); err != nil || !strings.HasPrefix(string(b), "POST / hi") {
			t.Fatalf("%q, %v", b, err)
		}
	}
	post()
	old := f.roll()
	post()
	if report := f.gone(old); report.Moved != 0 {
		t.Errorf("report %+v, want none moved", report)
	}
}

// TestMovedBodyTimeout gives the first request after a move its read timeout, and
// no more, with h2c too, where net/http begins to count later.
func TestMovedBodyTimeout(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		f := newFamily(t, func(name string) *http.Server {
			s := answers(name)
			s.IdleTimeout, s.ReadTimeout = time.Hour, 300*time.Millisecond
			if h2c {
				return withH2C(s)
			}
			return s
		})
		c := dial(t, f.current.addr)
		c.roundTrip("/")
		f.gone(f.roll())
		<-time.After(3 * time.Second)
		c.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n")
		begun := time.Now()
		_, _ = io.ReadAll(c.r)
		if took := time.Since(begun); took < 250*time.Millisecond || took > 2500*time.Millisecond {
			t.Errorf("h2c %v: the body was waited for %v, want 300ms", h2c, took)
		}
		f.end()
	}
}

// TestStopInARoll has a stop come while a worker drains for a roll and nobody
// takes its connections: the idle ones are closed at once, and what may be cut is.
func TestStopInARoll(t *testing.T) {
	g := newGatekeeper()
	f := newFamily(t, func(name string) *http.Server {
		s := answers(name)
		var mux http.ServeMux
		mux.Handle("/", s.Handler)
		mux.Handle("/stream", Expendable(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			g.entered <- r
			<-r.Context().Done()
		})))
		s.Handler = &mux
		return s
	})
	quiet, stream := dial(t, f.current.addr), dial(t, f.current.addr)
	quiet.roundTrip("/")
	stream.get("/stream")
	<-g.entered
	f.current.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour, Move: true})
	quiet.roundTrip("/") // nobody is there, and somebody may come
	begun := time.Now()
	f.current.drainWith(wire.Drain{Reason: wire.ReasonStop, Timeout: time.Hour})
	quiet.closed()
	f.gone(f.current)
	if took := time.Since(begun); took > movePatience/2 {
		t.Errorf("it took %v", took)
	}
}
