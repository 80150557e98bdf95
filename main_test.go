package lastcall

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary play the processes that the tests stop.
func TestMain(m *testing.M) {
	if role := os.Getenv("LASTCALL_TEST_ROLE"); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of the tests: long enough for a busy machine, and
// met by a fault only.
const patience = 20 * time.Second

// eventually polls a condition that no event tells.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

// within receives from a channel.
func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		var zero T
		t.Fatalf("not in %v: %s", patience, what)
		return zero
	}
}

// serving is a Worker at work in this process.
type serving struct {
	*Worker
	t    testing.TB
	addr string // of the first HTTP server
	end  chan error
	logs *logBuffer
	http *http.Server // the first
}

// serve starts a worker and returns when it is ready. The caller ends it.
func serve(t testing.TB, w *Worker, servers ...Server) *serving {
	t.Helper()
	s := &serving{Worker: w, t: t, end: make(chan error, 1), logs: &logBuffer{}}
	if w.Logger == nil {
		w.Logger = slog.New(slog.NewTextHandler(s.logs, nil))
	}
	for _, server := range servers {
		if server.HTTP != nil && s.addr == "" {
			s.addr, s.http = "?", server.HTTP
			server.HTTP.ErrorLog = slog.NewLogLogger(w.Logger.Handler(), slog.LevelError)
			base := server.HTTP.BaseContext
			server.HTTP.BaseContext = func(l net.Listener) context.Context {
				s.addr = l.Addr().String()
				if base != nil {
					return base(l)
				}
				return context.Background()
			}
		}
	}
	go func() { s.end <- w.Serve(context.Background(), servers...) }()
	eventually(t, "ready", func() bool { return w.ready.Load() || len(s.end) > 0 })
	if len(s.end) > 0 {
		t.Fatalf("Serve: %v", <-s.end)
	}
	return s
}

// serveHandler is serve for one HTTP server on a port of its own.
func serveHandler(t testing.TB, w *Worker, h http.HandlerFunc) *serving {
	t.Helper()
	return serve(t, w, Server{Addr: "127.0.0.1:0", HTTP: &http.Server{Handler: h}})
}

// wait returns what Serve returns.
func (s *serving) wait() error {
	s.t.Helper()
	return within(s.t, "Serve returns", s.end)
}

// conns returns the connections of the first HTTP server.
func (s *serving) conns() []*conn {
	h := s.http.Handler.(*httpServer)
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.conns))
}

// phases counts those in a phase.
func (s *serving) phases(phase uint32) int {
	n := 0
	for _, c := range s.conns() {
		if c.phase.Load() == phase {
			n++
		}
	}
	return n
}

// drained wants Serve to return nil.
func (s *serving) drained() {
	s.t.Helper()
	if err := s.wait(); err != nil {
		s.t.Errorf("Serve: %v", err)
	}
}

// waitDraining returns when the last call has been made.
func (s *serving) waitDraining() {
	s.t.Helper()
	eventually(s.t, "draining", func() bool { return strings.Contains(s.logs.String(), "msg=draining") })
}

// client is a raw connection, which sees every byte.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c)
}

func newClient(t testing.TB, c net.Conn) *client {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{Conn: c, t: t, r: bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) get(path string) {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n")
}

// response reads one whole response.
func (c *client) response() (*http.Response, string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("read response: %v", err)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatalf("read body after %d bytes: %v", len(b), err)
	}
	return r, string(b)
}

// closed wants the end of the connection and nothing before it, not a reset.
func (c *client) closed() {
	c.t.Helper()
	if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
		c.t.Errorf("read %q, %v; want the end of the connection", b, err)
	}
}

// roundTrip makes the connection idle.
func (c *client) roundTrip(path string) {
	c.t.Helper()
	c.get(path)
	if r, _ := c.response(); r.StatusCode != http.StatusOK || r.Close {
		c.t.Fatalf("%s, close %v; want 200 and kept alive", r.Status, r.Close)
	}
}

// logBuffer collects log lines of many goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ok is the shortest handler.
func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }

// gatekeeper is a handler that says when it is entered and waits to be let go.
type gatekeeper struct {
	entered chan *http.Request
	leave   chan struct{}
}

func newGatekeeper() *gatekeeper {
	return &gatekeeper{entered: make(chan *http.Request, 100), leave: make(chan struct{})}
}

func (g *gatekeeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.entered <- r
	<-g.leave
	fmt.Fprint(w, "done")
}
