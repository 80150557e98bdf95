package lastcall

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// flood is a handler that writes more than any socket buffers.
func flood(began chan<- struct{}, size int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		w.Write(make([]byte, size))
	}
}

const megabytes = 1 << 20

// TestStalledReader has a client that takes nothing: during a drain it is cut,
// in the middle of one write, whenever that began.
func TestStalledReader(t *testing.T) {
	began := make(chan struct{})
	s := serveHandler(t, &Worker{StallTimeout: 50 * time.Millisecond}, flood(began, 64*megabytes))
	c := dial(t, s.addr)
	c.get("/flood")
	<-began
	s.Drain()
	var cut *CutError
	if err := s.wait(); !errors.As(err, &cut) || len(cut.Operations) != 1 || !cut.Operations[0].Stalled {
		t.Fatalf("Serve: %v", err)
	}
	if o := cut.Operations[0]; o.Route != "/flood" || o.Age > patience/2 {
		t.Errorf("cut %+v", o)
	}
}

// TestSlowReader takes little, and for far longer than the stall timeout, and
// gets everything.
func TestSlowReader(t *testing.T) {
	for network, pace := range map[string]time.Duration{"tcp": 40 * time.Millisecond, "unix": 80 * time.Millisecond} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			slowReader(t, network, pace)
		})
	}
}

func slowReader(t *testing.T, network string, pace time.Duration) {
	const size = 2 * megabytes
	const stall = time.Second // TCP's own timers are not much shorter
	began := make(chan struct{})
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = t.TempDir() + "/s"
	}
	s := serve(t, &Worker{StallTimeout: stall}, Server{Addr: addr, HTTP: &http.Server{
		Handler: flood(began, size),
		// Large enough that a write is not woken for longer than the timeout
		// while the client takes what is in the buffer.
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			c.(*conn).Conn.(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(256 << 10)
			return ctx
		},
	}})
	conn, err := net.Dial(network, s.addr)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	if err := conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	c.get("/")
	<-began
	s.Drain()
	s.waitDraining()
	begin := time.Now()
	buf := make([]byte, 4<<10)
	for time.Since(begin) < 4*stall {
		if _, err := c.r.Read(buf); err != nil {
			t.Fatal(err)
		}
		<-time.After(pace)
	}
	rest, err := io.ReadAll(c.r)
	if err != nil || len(rest) < size/2 {
		t.Errorf("%s: %d bytes, %v", network, len(rest), err)
	}
	s.drained()
}

// TestDeadlinesOfTheServer keeps those of http.Server, with and without a drain:
// the earlier one counts.
func TestDeadlinesOfTheServer(t *testing.T) {
	for _, drain := range []bool{false, true} {
		ended := make(chan error, 1)
		reading := make(chan struct{})
		s := serve(t, &Worker{}, Server{Addr: "127.0.0.1:0", HTTP: &http.Server{
			ReadTimeout: 200 * time.Millisecond,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(reading)
				_, err := io.ReadAll(r.Body)
				ended <- err
			}),
		}})
		c := dial(t, s.addr)
		c.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n")
		<-reading
		if drain {
			s.Drain()
			s.waitDraining()
		}
		var ne net.Error
		if err := within(t, "the read times out", ended); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("drain %v: body: %v", drain, err)
		}
		if !drain {
			s.Drain()
		}
		s.drained() // it has ended by itself, with an error of its own
	}
}

// TestHandlerThatThinks takes longer than the stall timeout without waiting for
// its client.
func TestHandlerThatThinks(t *testing.T) {
	const stall = 30 * time.Millisecond
	g := newGatekeeper()
	s := serveHandler(t, &Worker{StallTimeout: stall}, func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || string(b) != "12345" {
			t.Errorf("%q, %v", b, err)
		}
		g.ServeHTTP(w, r)
	})
	c := dial(t, s.addr)
	c.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n1234")
	eventually(t, "the handler waits for the body", func() bool {
		for _, c := range s.conns() {
			if op := c.current.Load(); op != nil && op.state.Load() == stateReading {
				return true
			}
		}
		return false
	})
	s.Drain()
	s.waitDraining()
	c.send("5")
	r := <-g.entered
	<-time.After(5 * stall)
	if err := r.Context().Err(); err != nil {
		t.Errorf("context: %v", err)
	}
	close(g.leave)
	if _, body := c.response(); body != "done" {
		t.Errorf("%q", body)
	}
	s.drained()
}

// TestReverseProxy drains a server that copies between connections, which net
// would do by splice.
func TestReverseProxy(t *testing.T) {
	content := bytes.Repeat([]byte("abcdefgh"), megabytes/4)
	back := serveHandler(t, &Worker{}, func(w http.ResponseWriter, r *http.Request) { w.Write(content) })
	front := serveHandler(t, &Worker{StallTimeout: 50 * time.Millisecond}, proxyTo(t, back.addr))
	c := dial(t, front.addr)
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	c.get("/")
	eventually(t, "the response has begun", func() bool { _, err := c.r.Peek(1); return err == nil })
	front.Drain()
	front.waitDraining()
	for range 20 {
		if _, err := c.r.Peek(1); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Millisecond)
	}
	if _, body := c.response(); body != string(content) {
		t.Errorf("%d bytes, want %d", len(body), len(content))
	}
	front.drained()
	back.Drain()
	back.drained()
}

func proxyTo(t *testing.T, addr string) http.HandlerFunc {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.URL, out.RequestURI = &url.URL{Scheme: "http", Host: addr, Path: r.URL.Path}, ""
		resp, err := tr.RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if n, err := io.Copy(w, resp.Body); err != nil {
			t.Errorf("copied %d bytes: %v", n, err)
		}
	}
}
