package lastcall

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An httpServer runs an http.Server of the application's and drains it without
// any of the ways net/http has to end: Shutdown drops a request that has been
// read but not begun, and all of them close idle connections under requests
// that are on their way. So the server never learns that it is being drained
// while a connection of HTTP/1 lives.
type httpServer struct {
	srv      *http.Server
	handler  http.Handler
	ledger   *ledger
	listener *listener
	mover    *mover
	log      *slog.Logger
	tls      bool

	leaving atomic.Bool // responses ask the client to go, unless its connection moves

	mu       sync.Mutex
	conns    map[*conn]struct{}
	http2    *http.Server // whose the connections of HTTP/2 are; nil: they are srv's
	order    *leaving     // nil until the drain
	shutDown context.CancelFunc
}

func newHTTPServer(srv *http.Server, l *ledger, ln *listener, log *slog.Logger) *httpServer {
	s := &httpServer{srv: srv, handler: srv.Handler, ledger: l, listener: ln, log: log, conns: map[*conn]struct{}{}}
	if s.handler == nil {
		s.handler = http.DefaultServeMux
	}
	if c := srv.TLSConfig; c != nil {
		s.tls = len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil
	}
	ln.wrap = s.connect
	return s
}

// serve takes the server over and runs it until its listener is closed.
func (s *httpServer) serve() error {
	s.srv.Handler = s
	s.separateHTTP2()
	connContext, connState := s.srv.ConnContext, s.srv.ConnState
	s.srv.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, nc)
		}
		return s.context(ctx, nc)
	}
	s.srv.ConnState = func(nc net.Conn, state http.ConnState) {
		s.state(nc, state)
		if connState != nil {
			connState(nc, state)
		}
	}
	var err error
	if s.tls {
		s.hushMoves()
		err = s.srv.ServeTLS(s.listener, "", "")
	} else {
		err = s.srv.Serve(s.listener)
	}
	if s.listener.stopping.Load() != nil && (errors.Is(err, http.ErrServerClosed) || errors.Is(err, errListenerDone)) {
		return nil
	}
	return err
}

// connect makes a conn of an accepted connection.
func (s *httpServer) connect(nc net.Conn) net.Conn {
	c := &conn{Conn: nc, server: s}
	s.enter(c)
	return c
}

// enter begins the account of a connection.
func (s *httpServer) enter(c *conn) {
	s.ledger.opened()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.order != nil {
		c.leave(s.order, time.Now())
	}
}

// connections counts those in the account.
func (s *httpServer) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// forget ends the account of a connection that is closed.
func (s *httpServer) forget(c *conn) {
	s.mu.Lock()
	_, known := s.conns[c]
	delete(s.conns, c)
	s.mu.Unlock()
	if !known {
		return
	}
	s.ledger.leaves(c)
	if c.phase.Load() == hijacked {
		c.release()
		return
	}
	c.mu.Lock()
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil { // else it is closed before net/http has heard of it
		cancel(nil)
	}
}

// context gives every connection a context of its own: to cut a request of
// HTTP/1 is to cancel its connection's context, which saves each request one.
func (s *httpServer) context(ctx context.Context, nc net.Conn) context.Context {
	c := below(nc)
	if c == nil {
		return ctx
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	c.cancel = cancel
	c.mu.Unlock()
	return context.WithValue(ctx, connKey{}, c)
}

// below finds our connection under what net/http was given.
func below(nc net.Conn) *conn {
	for {
		switch x := nc.(type) {
		case *conn:
			return x
		case interface{ NetConn() net.Conn }:
			nc = x.NetConn()
		default:
			return nil
		}
	}
}

// state follows a connection through net/http. Idle or closed, the response of
// a request of HTTP/1 is with the kernel. Those of HTTP/2 end elsewhere.
func (s *httpServer) state(nc net.Conn, state http.ConnState) {
	c := below(nc)
	if c == nil {
		return
	}
	switch state {
	case http.StateActive:
		c.activate(nc)
	case http.StateIdle:
		c.fallIdle()
		c.endRequest()
	case http.StateHijacked:
		c.mu.Lock()
		c.enter(hijacked)
		c.mu.Unlock()
		if op := c.current.Load(); op != nil {
			op.state.Store(stateHijacked)
			s.ledger.hijack(op)
		}
		s.ledger.leaves(c)
	case http.StateClosed:
		c.endRequest()
	}
}

// activate begins the phase of a request. The first time it finds out whether
// the connection speaks HTTP/2.
func (c *conn) activate(nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.classified {
		c.classified = true
		if t, ok := nc.(*tls.Conn); ok {
			c.http2 = t.ConnectionState().NegotiatedProtocol == "h2"
		}
	}
	c.adopted = nil
	c.enter(active)
}

// enter begins a phase that has no end of its own; c.mu is held.
func (c *conn) enter(phase uint32) {
	c.phase.Store(phase)
	if c.leaving.Load() != nil {
		c.leaveAt, c.moveAt = time.Time{}, time.Time{}
		c.arm()
	}
}

// fallIdle begins the time between two requests, which during a drain is short.
func (c *conn) fallIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads = 0
	c.deadlines.Store(0)
	c.phase.Store(idle)
	if op := c.current.Load(); op != nil {
		c.method = op.name
	}
	l := c.leaving.Load()
	if l == nil {
		return
	}
	if now := time.Now(); !c.moveSoon(now) {
		c.leaveSoon(l, now)
	}
	if c.http2 && !c.goneAway {
		poke(c.server.listener.wake) // tend has GOAWAY for it
	}
	c.arm()
}

// endRequest ends the operation of a request of HTTP/1.
func (c *conn) endRequest() {
	if op := c.current.Load(); op != nil {
		c.server.ledger.end(op)
		c.current.Store(nil)
	}
}

// release ends a hijacked request with the second of its handler and its
// connection, and only then its context.
func (c *conn) release() {
	if op := c.current.Load(); op != nil && c.server.ledger.release(op) {
		op.cancel(nil)
	}
}

// returned notes that the handler of a request of HTTP/1 is done.
func (c *conn) returned(op *Operation) {
	if c.phase.Load() == hijacked {
		c.release()
		return
	}
	op.state.Store(stateWriting)
	if c.leaving.Load() != nil {
		c.awaitBody() // net/http may read what is left of it
	}
}

// ask has the responses ask their clients to go, without closing anything.
func (s *httpServer) ask() { s.leaving.Store(true) }

// leave begins the drain of all connections; the listener has been told.
func (s *httpServer) leave(l *leaving, now time.Time) {
	s.leaving.Store(true)
	s.mu.Lock()
	s.order = l
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		c.leave(l, now)
	}
}

// offerAgain has the connections that wait for a sibling offered now.
func (s *httpServer) offerAgain(now time.Time) {
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		c.offerAgain(now)
	}
}

// tend sends GOAWAY to the connections of HTTP/2. When no other is left it calls
// Shutdown, for what the application has registered with RegisterOnShutdown;
// the end of its polling is not waited for.
func (s *httpServer) tend(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.order == nil {
		return
	}
	if s.http2 != nil {
		s.goAway(now)
	}
	if s.shutDown != nil || !s.listener.isDone() {
		return
	}
	for c := range s.conns {
		if !c.isHTTP2() && c.phase.Load() != hijacked {
			return
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.shutDown = cancel
	s.goAway(now)
	go func() {
		if err := s.srv.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Debug("shut down HTTP server", "error", err)
		}
	}()
}

// closeAll closes what is left.
func (s *httpServer) closeAll() {
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	if s.shutDown == nil {
		s.shutDown = func() {}
	}
	s.shutDown()
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.shut()
	}
}
