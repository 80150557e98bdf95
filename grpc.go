package lastcall

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A grpcServer is a gRPC server at work. What it does can hardly be seen from
// outside, so it is asked to end, and the asking is the operation that holds
// the drain: GracefulStop returns when all calls have ended, those of clients
// that have gone too.
type grpcServer struct {
	srv      gracefulServer
	name     string
	ledger   *ledger
	listener *listener
	asked    atomic.Bool // a lame duck, or a drain, has begun

	// The drain's goroutine's alone.
	op      *Operation // nil until the drain
	stopped bool       // it has been cut

	mu       sync.Mutex
	conns    map[*grpcConn]struct{}
	silent   int           // of those, that have sent nothing, or not all of their handshake
	heardAll chan struct{} // nil until the drain; closed when none is silent
	cut      string        // whose connections were, for the report
}

// A gracefulServer is a *grpc.Server.
type gracefulServer interface {
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

func newGRPCServer(srv gracefulServer, name string, l *ledger, ln *listener) *grpcServer {
	s := &grpcServer{srv: srv, name: name, ledger: l, listener: ln, conns: map[*grpcConn]struct{}{}}
	ln.wrap = s.connect
	return s
}

// serve runs the server until its listener is closed, which is by us: its own
// way to stop would leave those in the queue to be reset.
func (s *grpcServer) serve() error {
	defer s.listener.Close()
	if err := s.srv.Serve(s.listener); s.listener.stopping.Load() == nil {
		return err
	}
	return nil
}

// ask asks nobody, since a gRPC server has no way to ask but GOAWAY. From now on
// what clients send is counted, by which a lame duck knows that they still come.
func (s *grpcServer) ask() { s.asked.Store(true) }

// leave has the server drain. It would close a connection that it has accepted
// and not looked at, under a call that is on its way; and it tells nobody to go
// before it has ended every handshake. So it is told only when each client has
// got through that, or has had its time: one that stands still in the midst
// would hold all others for two minutes, in which they begin new calls.
func (s *grpcServer) leave(l *leaving, _ time.Time) {
	if s.op != nil {
		return // it has been told, for a roll; a stop asks no more of it
	}
	heardAll := make(chan struct{})
	s.mu.Lock()
	s.heardAll = heardAll
	s.tellHeard()
	s.mu.Unlock()

	op := &Operation{name: "grpc " + s.name, class: ClassCritical, subject: s}
	op.ctx, op.cancel = context.WithCancelCause(context.Background())
	s.op = op
	s.ledger.begin(op)
	patience := time.NewTimer(l.fresh)
	go func() {
		defer op.End()
		defer patience.Stop()
		select {
		case <-heardAll:
		case <-patience.C:
			s.closeThose(func(c *grpcConn) bool { return !c.heard.Load() })
		case <-op.ctx.Done():
		}
		s.srv.GracefulStop()
	}()
}

// tend cancels all calls when they are cut: after the application's operations
// in them, which would end unnamed if their connections closed first. Stop
// alone may wait for a handshake before it closes anything.
func (s *grpcServer) tend(time.Time) {
	if s.stopped || s.op == nil || context.Cause(s.op.ctx) != ErrCut {
		return
	}
	s.stopped = true
	text := s.client()
	s.mu.Lock()
	s.cut = text
	s.mu.Unlock()
	_ = s.Close()
	go s.srv.Stop()
}

// closeAll closes what has come since a cut.
func (s *grpcServer) closeAll() { _ = s.Close() }

// Close closes all connections.
func (s *grpcServer) Close() error {
	s.closeThose(func(*grpcConn) bool { return true })
	return nil
}

func (s *grpcServer) closeThose(match func(*grpcConn) bool) {
	s.mu.Lock()
	var found []*grpcConn
	for c := range s.conns {
		if match(c) {
			found = append(found, c)
		}
	}
	s.mu.Unlock()
	for _, c := range found {
		_ = c.Close() // whatever it says, it is over
	}
}

func (s *grpcServer) closer() io.Closer        { return s }
func (s *grpcServer) route(path string) string { return path }

// client names one client, and says how many more there are.
func (s *grpcServer) client() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		text := addrString(c.RemoteAddr())
		if n := len(s.conns) - 1; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		return text
	}
	return s.cut
}

func (s *grpcServer) connect(nc net.Conn) net.Conn {
	c := &grpcConn{Conn: nc, server: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	s.silent++
	return c
}

// tellHeard closes heardAll when it is time; s.mu is held.
func (s *grpcServer) tellHeard() {
	if s.heardAll != nil && s.silent == 0 && !isClosed(s.heardAll) {
		close(s.heardAll)
	}
}

// A grpcConn is a connection of a gRPC server, with or without TLS above it.
type grpcConn struct {
	net.Conn
	server *grpcServer
	heard  atomic.Bool // its client need not be waited for any more

	// Guarded by server.mu.
	spoke  bool // its client has sent something
	shakes bool // and has not got to the end of its handshake
}

// Read reads for the server, and notes that something has come. For a lame duck
// any byte is an arrival: calls are frames in here, perhaps under TLS, and to
// take a ping for one errs on the side of who may be about to call.
func (c *grpcConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard.Load() {
		c.note(func() { c.spoke = true })
	}
	if n > 0 && c.server.asked.Load() {
		c.server.ledger.arrive()
	}
	return n, err
}

// SetDeadline sets the deadlines. A gRPC server gives a handshake one, and takes
// it away at the end: nothing else tells that from outside. One that does not
// is taken to be done with the handshake at the first byte.
func (c *grpcConn) SetDeadline(t time.Time) error {
	c.note(func() { c.shakes = !t.IsZero() })
	return c.Conn.SetDeadline(t)
}

// note changes what is known of the client.
func (c *grpcConn) note(change func()) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	change()
	if c.spoke && !c.shakes && !c.heard.Swap(true) {
		c.server.silent--
		c.server.tellHeard()
	}
}

// Close closes the connection.
func (c *grpcConn) Close() error {
	err := c.Conn.Close()
	c.note(func() {
		c.spoke, c.shakes = true, false
		delete(c.server.conns, c)
	})
	return err
}

// SyscallConn gives access to the socket, as syscall.Conn.
func (c *grpcConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}
