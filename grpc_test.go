package lastcall

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A lineServer ends as a gRPC server does, with lines for calls: "call" is
// answered by "done" when leave is closed, and "go" is GOAWAY.
type lineServer struct {
	entered chan net.Conn
	leave   chan struct{}
	addr    chan string

	quit    atomic.Bool
	stopped atomic.Bool
	shaking sync.WaitGroup // connections whose first line has not come
	calls   sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]bool
	failure error // of Serve
}

func newLineServer() *lineServer {
	return &lineServer{entered: make(chan net.Conn, 10), leave: make(chan struct{}), addr: make(chan string, 1), conns: map[net.Conn]bool{}}
}

func (s *lineServer) Serve(l net.Listener) error {
	s.addr <- l.Addr().String()
	if s.failure != nil {
		return s.failure
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if s.quit.Load() {
			c.Close()
			continue
		}
		s.shaking.Add(1)
		go s.handle(c)
	}
}

func (s *lineServer) handle(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Hour)) // as that does, for the handshake
	lines := bufio.NewScanner(c)
	shaken := sync.OnceFunc(func() {
		_ = c.SetDeadline(time.Time{})
		s.shaking.Done()
	})
	defer shaken()
	for lines.Scan() {
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		if lines.Text() == "call" {
			s.calls.Go(func() {
				s.entered <- c
				<-s.leave
				fmt.Fprintln(c, "done")
			})
		}
		shaken()
	}
}

func (s *lineServer) GracefulStop() {
	s.quit.Store(true)
	s.shaking.Wait()
	s.mu.Lock()
	for c := range s.conns {
		fmt.Fprintln(c, "go")
	}
	s.mu.Unlock()
	s.calls.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

func (s *lineServer) Stop() { s.stopped.Store(true) }

// start serves it with a worker.
func (s *lineServer) start(t *testing.T, w *Worker) *serving {
	t.Helper()
	out := serve(t, w, Server{Name: "lines", Addr: "127.0.0.1:0", GRPC: s})
	out.addr = within(t, "an address", s.addr)
	return out
}

func (c *client) line() string {
	c.t.Helper()
	text, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read %q: %v", text, err)
	}
	return strings.TrimSuffix(text, "\n")
}

// TestGRPCDrain serves every call, that of a connection too which has said
// nothing when the drain begins, and waits for one whose client has gone.
func TestGRPCDrain(t *testing.T) {
	srv := newLineServer()
	s := srv.start(t, &Worker{FreshGrace: patience})
	calls, leaves, silent := dial(t, s.addr), dial(t, s.addr), dial(t, s.addr)
	calls.send("call\n")
	<-srv.entered
	leaves.send("call\n")
	<-srv.entered
	leaves.Close()
	s.Drain()
	s.waitDraining()
	eventually(t, "newcomers are refused", func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	silent.send("call\n")
	<-srv.entered
	for _, c := range []*client{calls, silent} {
		if text := c.line(); text != "go" {
			t.Errorf("the client reads %q", text)
		}
	}
	if len(s.end) > 0 {
		t.Error("calls are not waited for")
	}
	close(srv.leave)
	for _, c := range []*client{calls, silent} {
		if text := c.line(); text != "done" {
			t.Errorf("the client reads %q", text)
		}
	}
	s.drained()
	if srv.stopped.Load() {
		t.Error("stopped without need")
	}
}

// TestGRPCSilent does not wait for a client that never says anything.
func TestGRPCSilent(t *testing.T) {
	const grace = 50 * time.Millisecond
	s := newLineServer().start(t, &Worker{FreshGrace: grace})
	begin := time.Now()
	silent := dial(t, s.addr)
	s.Drain()
	silent.closed()
	if d := time.Since(begin); d < grace {
		t.Errorf("closed after %v", d)
	}
	s.drained()
}

// TestGRPCCut closes the connections at the cut, and names one.
func TestGRPCCut(t *testing.T) {
	srv := newLineServer()
	s := srv.start(t, &Worker{UnwindTimeout: patience})
	c := dial(t, s.addr)
	c.send("call\n")
	at := within(t, "the call", srv.entered)
	s.Drain()
	if text := c.line(); text != "go" {
		t.Errorf("the client reads %q", text)
	}
	s.Cut()
	if b, err := io.ReadAll(c.r); len(b) > 0 {
		t.Errorf("the client reads %q, %v", b, err)
	}
	if _, err := at.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the handler can write: %v", err)
	}
	if len(s.end) > 0 {
		t.Error("the handler had no time to unwind")
	}
	close(srv.leave)
	var cut *CutError
	if err := s.wait(); !errors.As(err, &cut) || len(cut.Operations) != 1 {
		t.Fatalf("Serve: %v", err)
	}
	if o := cut.Operations[0]; o.Name != "grpc lines" || o.Class != ClassCritical || o.Client != c.LocalAddr().String() {
		t.Errorf("cut %+v", o)
	}
	eventually(t, "Stop is called", srv.stopped.Load)
}

// TestGRPCFails returns the error of a server that ends by itself.
func TestGRPCFails(t *testing.T) {
	srv := newLineServer()
	srv.failure = io.ErrUnexpectedEOF
	end := make(chan error, 1)
	go func() {
		w := &Worker{DrainTimeout: time.Hour}
		end <- w.Serve(context.Background(), Server{Addr: "127.0.0.1:0", GRPC: srv})
	}()
	if err := within(t, "Serve returns", end); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Serve: %v", err)
	}
	both := Server{Addr: "127.0.0.1:0", GRPC: srv, Conn: func(context.Context, net.Conn) {}}
	if err := new(Worker).Serve(t.Context(), both); err == nil || !strings.Contains(err.Error(), "exactly one of") {
		t.Errorf("Serve: %v", err)
	}
}
