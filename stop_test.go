package lastcall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestB9StopIdempotent asks for the stop in every way, many times.
func TestB9StopIdempotent(t *testing.T) {
	g := newGatekeeper()
	var drains atomic.Int32
	w := &Worker{OnDrain: func(context.Context) { drains.Add(1) }}
	s := serveHandler(t, w, g.ServeHTTP)
	c := dial(t, s.addr)
	c.get("/")
	<-g.entered
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(s.Drain)
	}
	wg.Wait()
	s.waitDraining()
	s.Drain()
	close(g.leave)
	if r, body := c.response(); !r.Close || body != "done" {
		t.Errorf("%s, close %v, %q", r.Status, r.Close, body)
	}
	s.drained()
	s.Drain()
	s.Cut()
	if n := drains.Load(); n != 1 {
		t.Errorf("%d drains", n)
	}
	if err := w.Serve(t.Context(), Server{Run: func(context.Context) error { return nil }}); !errors.Is(err, errServedBefore) {
		t.Errorf("second Serve: %v", err)
	}
}

// TestB10StopDuringAcceptStorm has a handler stop the server under 40 clients
// that go on connecting until they are refused: each connection is served, or
// refused, none hangs. None is reset either: the listener takes no more before
// it closes.
func TestB10StopDuringAcceptStorm(t *testing.T) {
	for range 3 {
		var w Worker
		var requests atomic.Int32
		s := serveHandler(t, &w, func(rw http.ResponseWriter, r *http.Request) {
			if requests.Add(1) == 200 {
				w.Drain()
			}
			fmt.Fprint(rw, "ok")
		})
		var served, reset atomic.Int32
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				for {
					c, err := net.DialTimeout("tcp", s.addr, patience)
					if err != nil {
						if !errors.Is(err, syscall.ECONNREFUSED) {
							t.Error(err)
						}
						return
					}
					c.SetDeadline(time.Now().Add(patience))
					io.WriteString(c, "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
					b, err := io.ReadAll(c)
					c.Close()
					switch {
					case errors.Is(err, os.ErrDeadlineExceeded):
						t.Errorf("a client hangs, having read %q", b)
						return
					case bytes.HasSuffix(b, []byte("\r\n\r\nok")):
						served.Add(1)
					default:
						reset.Add(1)
					}
				}
			})
		}
		wg.Wait()
		s.drained()
		if log := s.logs.String(); strings.Contains(log, "ERROR") || strings.Contains(log, "WARN") {
			t.Errorf("logged:\n%s", log)
		}
		t.Logf("served %d", served.Load())
		if n := reset.Load(); served.Load() < 200 || runtime.GOOS == "linux" && n > 0 {
			t.Errorf("served %d, reset %d", served.Load(), n)
		}
	}
}

// TestB12PipelinedRequests drains while the first of two pipelined requests is
// in progress: it is answered with close, the second is not executed.
func TestB12PipelinedRequests(t *testing.T) {
	for _, body := range []string{"", strings.Repeat("x", 100_000)} { // all read ahead, or not
		g := newGatekeeper()
		s := serveHandler(t, &Worker{}, g.ServeHTTP)
		c := dial(t, s.addr)
		c.send("GET /1 HTTP/1.1\r\nHost: test\r\n\r\n" +
			fmt.Sprintf("POST /2 HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		<-g.entered
		s.Drain()
		s.waitDraining()
		close(g.leave)
		if r, got := c.response(); !r.Close || got != "done" {
			t.Errorf("%s, close %v, %q", r.Status, r.Close, got)
		}
		c.closed()
		c.Close()
		s.drained()
		if len(g.entered) > 0 {
			t.Errorf("%s was executed", (<-g.entered).URL)
		}
	}
}

// TestB13ClientGone has a client leave in the middle of a request: its handler
// completes all the same, and the count returns to nothing.
func TestB13ClientGone(t *testing.T) {
	g := newGatekeeper()
	var completed atomic.Bool
	s := serveHandler(t, &Worker{}, func(w http.ResponseWriter, r *http.Request) {
		g.ServeHTTP(w, r)
		completed.Store(true)
	})
	c := dial(t, s.addr)
	c.get("/")
	r := <-g.entered
	c.Close()
	within(t, "the handler is told", r.Context().Done())
	if cause := context.Cause(r.Context()); cause == ErrCut {
		t.Errorf("cause %v", cause)
	}
	s.Drain()
	s.waitDraining()
	close(g.leave)
	s.drained()
	if !completed.Load() {
		t.Error("Serve has returned before the handler")
	}
}

// TestB14IdleAndUnusedConnections closes idle connections at once and silent
// ones within the grace.
func TestB14IdleAndUnusedConnections(t *testing.T) {
	const grace = 50 * time.Millisecond
	s := serveHandler(t, &Worker{FreshGrace: grace}, ok)
	var idle, unused []*client
	for range 20 {
		i := dial(t, s.addr)
		i.roundTrip("/")
		idle = append(idle, i)
		unused = append(unused, dial(t, s.addr))
	}
	half := dial(t, s.addr)
	half.send("GET / HTTP/1.1\r\nHo")
	begin := time.Now()
	s.Drain()
	for _, c := range idle {
		c.closed()
	}
	t.Logf("idle connections closed after %v", time.Since(begin))
	for _, c := range append(unused, half) {
		c.closed()
	}
	if d := time.Since(begin); d < grace {
		t.Errorf("connections that had sent nothing were closed after %v", d)
	}
	s.drained()
}

// TestSilentConnectionsAreServed has 20 accepted connections send their first
// request after the drain has begun.
func TestSilentConnectionsAreServed(t *testing.T) {
	s := serveHandler(t, &Worker{}, ok)
	var clients []*client
	for range 20 {
		clients = append(clients, dial(t, s.addr))
	}
	s.Drain()
	s.waitDraining()
	<-time.After(20 * time.Millisecond) // not for an event: the clients are slow
	for _, c := range clients {
		c.get("/")
	}
	for i, c := range clients {
		if r, body := c.response(); !r.Close || body != "ok" {
			t.Errorf("client %d: %s, close %v, %q", i, r.Status, r.Close, body)
		}
		c.closed()
	}
	s.drained()
}

// TestHalfHeaderIsServed completes within the grace what it had begun.
func TestHalfHeaderIsServed(t *testing.T) {
	s := serveHandler(t, &Worker{}, ok)
	idle := dial(t, s.addr)
	idle.roundTrip("/")
	idle.send("GET /next HTTP/1.1\r\nHost: ")
	half := dial(t, s.addr)
	half.send("GET / HTTP/1.1\r\nHo")
	pipelined := dial(t, s.addr) // cut at the end of a line, so that all that was sent is consumed
	pipelined.send("GET /1 HTTP/1.1\r\nHost: test\r\n\r\nGET /2 HTTP/1.1\r\n")
	pipelined.response()
	eventually(t, "the half requests are read", func() bool { return s.phases(header) == 3 })
	s.Drain()
	s.waitDraining()
	idle.send("test\r\n\r\n")
	half.send("st: test\r\n\r\n")
	pipelined.send("Host: test\r\n\r\n")
	for _, c := range []*client{idle, half, pipelined} {
		if r, body := c.response(); !r.Close || body != "ok" {
			t.Errorf("%s, close %v, %q", r.Status, r.Close, body)
		}
		c.closed()
	}
	s.drained()
}

// TestB15SlowUploader sends a byte now and then, and then no more.
func TestB15SlowUploader(t *testing.T) {
	reading := make(chan struct{})
	var got atomic.Int64
	s := serveHandler(t, &Worker{StallTimeout: 100 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		close(reading)
		n, err := io.Copy(&counter{n: &got}, r.Body)
		t.Logf("body ended after %d bytes: %v", n, err)
		if err == nil {
			t.Error("the whole body has come")
		}
	})
	c := dial(t, s.addr)
	c.send("PUT /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n")
	<-reading
	s.Drain()
	s.waitDraining()
	begin := time.Now()
	for i := range 8 { // slow, and yet not stalled: longer than the timeout in all
		c.send("x")
		eventually(t, "the byte is read", func() bool { return got.Load() == int64(i+1) })
		<-time.After(30 * time.Millisecond)
	}
	slow := time.Since(begin)
	if len(s.end) > 0 {
		t.Fatalf("a client that sends something was cut: %v", <-s.end)
	}
	var cut *CutError
	if err := s.wait(); !errors.As(err, &cut) || len(cut.Operations) != 1 {
		t.Fatalf("Serve: %v", err)
	}
	o := cut.Operations[0]
	if o.Name != "PUT" || o.Route != "/upload" || !o.Stalled || o.Class != ClassCritical || o.Client != c.LocalAddr().String() || o.Age < slow {
		t.Errorf("cut %+v", o)
	}
}

type counter struct{ n *atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// TestB16RealSignals sends some 1500 real signals, to an idle worker and to a
// busy one: each starts the drain once.
func TestB16RealSignals(t *testing.T) {
	// Each signal is waited for: one that came late would be the next worker's.
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(came)
	kill := func(sig syscall.Signal) {
		if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		within(t, "the signal has come", came)
	}
	for i := range 250 {
		var drains atomic.Int32
		w := &Worker{OnDrain: func(context.Context) { drains.Add(1) }}
		g := newGatekeeper()
		s := serveHandler(t, w, g.ServeHTTP)
		busy := i%2 == 1
		var c *client
		if busy {
			c = dial(t, s.addr)
			c.get("/")
			<-g.entered
		}
		sig := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}[i/2%2]
		kill(sig)
		s.waitDraining()
		if sig == syscall.SIGTERM {
			for range 10 {
				kill(sig)
			}
		}
		close(g.leave)
		if busy {
			c.response()
		}
		s.drained()
		if n := drains.Load(); n != 1 {
			t.Errorf("%d drains", n)
		}
		process.reset()
	}
}

// reset has the next test find the process as if no signal had come.
func (p *processLedger) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.closed, p.drains, p.draining = false, 0, make(chan struct{})
	}
}

// TestB17FailingHook has every hook fail: it is logged, the drain completes.
func TestB17FailingHook(t *testing.T) {
	asked := 0
	w := &Worker{
		GateEvery: time.Millisecond,
		OnDrain:   func(context.Context) { panic("drain hook") },
		OnExit:    func(context.Context) { panic("exit hook") },
		Gate: func(context.Context) (string, error) {
			asked++
			switch asked {
			case 1:
				panic("gate")
			case 2:
				return "", errors.New("gate unreachable")
			case 3:
				return "three locks", nil
			}
			return "", nil
		},
	}
	s := serveHandler(t, w, func(http.ResponseWriter, *http.Request) { panic("handler") })
	c := dial(t, s.addr)
	c.get("/")
	c.closed()
	s.Drain()
	s.drained()
	for _, want := range []string{"drain hook", "exit hook", "panic serving"} {
		if !strings.Contains(s.logs.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, s.logs)
		}
	}
	if asked != 4 {
		t.Errorf("gate was asked %d times", asked)
	}
}

// TestExitByEvent shows how long Serve takes to return after the last response.
func TestExitByEvent(t *testing.T) {
	g := newGatekeeper()
	s := serveHandler(t, &Worker{}, g.ServeHTTP)
	c := dial(t, s.addr)
	c.get("/")
	<-g.entered
	s.Drain()
	s.waitDraining()
	close(g.leave)
	c.response()
	begin := time.Now()
	s.drained()
	t.Logf("Serve has returned %v after the last response was read", time.Since(begin))
}
