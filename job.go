package lastcall

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"time"
)

// A job is one Server at work. The drain calls its methods in order, from one
// goroutine, while serve runs in another.
type job interface {
	serve() error                   // until it has ended; nil if that was asked for
	ask()                           // lame duck: ask clients to go
	leave(l *leaving, at time.Time) // the drain has begun
	tend(now time.Time)             // look whether something is due
	closeAll()                      // the end: close what is left
}

// A rawServer serves connections with a function, each as an operation.
type rawServer struct {
	conn     func(context.Context, net.Conn)
	name     string
	ledger   *ledger
	listener *listener
	log      *slog.Logger
}

func (s *rawServer) serve() error {
	defer s.listener.Close()
	const least, most = 5 * time.Millisecond, time.Second
	pause := least
	for {
		c, err := s.listener.Accept()
		if err == nil {
			s.start(c)
			pause = least
			continue
		}
		if errors.Is(err, errListenerDone) {
			return nil
		}
		// Out of descriptors, as a rule: it passes, as net/http believes too.
		t, ok := err.(interface{ Temporary() bool })
		if !ok || !t.Temporary() {
			return err
		}
		s.log.Warn("cannot accept", "server", s.name, "error", err, "again_in", pause)
		<-time.After(pause)
		pause = min(2*pause, most)
	}
}

// A rawConn is the subject of a raw connection's operation.
type rawConn struct{ net.Conn }

func (c rawConn) client() string      { return addrString(c.RemoteAddr()) }
func (c rawConn) closer() io.Closer   { return c.Conn }
func (c rawConn) route(string) string { return "" }

func addrString(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// start begins the operation before its goroutine runs, so that a drain that
// sees the listener closed sees the operation too.
func (s *rawServer) start(c net.Conn) {
	op := &Operation{name: s.name, subject: rawConn{c}}
	op.ctx, op.cancel = context.WithCancelCause(context.Background())
	s.ledger.begin(op)
	go func() {
		defer op.End()
		defer c.Close()
		defer func() {
			if p := recover(); p != nil { // as net/http does
				s.log.Error("panic in connection", "server", s.name, "client", op.subject.client(), "panic", p, "stack", string(debug.Stack()))
			}
		}()
		s.conn(op.Context(), c)
	}()
}

func (s *rawServer) ask()                      {}
func (s *rawServer) leave(*leaving, time.Time) {} // Draining has told it
func (s *rawServer) tend(time.Time)            {}
func (s *rawServer) closeAll()                 {} // its operations have closers

// A runner runs a function that listens to nothing, as one operation.
type runner struct {
	run func(context.Context) error
	op  *Operation
}

func newRunner(run func(context.Context) error, name string, l *ledger) *runner {
	op := &Operation{name: "run", class: ClassCritical}
	if name != "" {
		op.name = "run " + name
	}
	op.ctx, op.cancel = context.WithCancelCause(context.Background())
	l.begin(op)
	return &runner{run: run, op: op}
}

func (s *runner) serve() error {
	defer s.op.End()
	err := s.run(s.op.Context())
	if err != nil && context.Cause(s.op.ctx) == ErrCut {
		return nil // it did what it was told; the cut is in the report
	}
	return err
}

func (s *runner) ask()                      {}
func (s *runner) leave(*leaving, time.Time) {}
func (s *runner) tend(time.Time)            {}
func (s *runner) closeAll()                 {}
