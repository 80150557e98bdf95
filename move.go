package lastcall

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/handoff"
	"github.com/lastcall/lastcall/internal/wire"
)

// A mover hands the connections of a worker that drains for a roll to its
// siblings, and takes theirs while it serves. A nil mover is that of a process
// that cannot: nothing moves.
type mover struct {
	link     *link
	log      *slog.Logger
	sender   *handoff.Sender
	receiver *handoff.Receiver

	draining atomic.Bool  // takes nothing any more
	sends    atomic.Bool  // the supervisor has siblings for what is here
	moved    atomic.Int64 // connections that are a sibling's now
	lastPeer atomic.Int64 // when there last was somebody to take one, in Unix nanoseconds

	servers map[string]*httpServer // by the name of their listener; complete before the first peer comes

	mu    sync.Mutex
	peers map[string]wire.Lost
}

// errMoved ends the Read of a connection that is a sibling's now. net/http takes
// a net.OpError of "read" for the end of the client and says nothing to it; any
// other error makes it write a 400 to a connection that has never sent a request.
var errMoved = errors.New("moved to another process")

// The times of a move that does not succeed at once.
const (
	moveAgain    = 100 * time.Millisecond // until a connection that was refused is offered again
	movePatience = 5 * time.Second        // without anybody who takes one, until clients are asked to go
	lostAgain    = 100 * time.Millisecond // until a peer that is gone is asked for again
)

func newMover(l *link, log *slog.Logger) *mover {
	m := &mover{link: l, log: log, peers: map[string]wire.Lost{}, servers: map[string]*httpServer{}}
	m.sender = handoff.NewSender(m.lost)
	m.receiver = handoff.NewReceiver(m)
	return m
}

// introduced takes one end of a pair that joins this worker with a sibling. One
// that comes when nothing is left to move is closed without a word.
func (m *mover) introduced(p *wire.Peer) {
	if m == nil {
		_ = syscall.Close(p.FD) // the supervisor was told that nothing moves here
		return
	}
	name := fmt.Sprintf("%s/%d", p.Worker, p.Life)
	if !p.Offer {
		if err := m.receiver.Add(name, p.FD); err != nil && !errors.Is(err, net.ErrClosed) {
			m.log.Warn("cannot take connections from a sibling", "sibling", p.Worker, "error", err)
		}
		return
	}
	m.mu.Lock()
	m.peers[name] = wire.Lost{Worker: p.Worker, Life: p.Life}
	m.mu.Unlock()
	m.lastPeer.Store(time.Now().UnixNano())
	if err := m.sender.Add(name, p.FD); err != nil && !errors.Is(err, net.ErrClosed) {
		m.log.Warn("cannot hand connections to a sibling", "sibling", p.Worker, "error", err)
	}
	for _, s := range m.servers {
		s.offerAgain(time.Now())
	}
}

// lost tells the supervisor of a sibling that is gone: if only the pair is, it
// makes another.
func (m *mover) lost(peer string) {
	m.mu.Lock()
	l, known := m.peers[peer]
	delete(m.peers, peer)
	m.mu.Unlock()
	if known {
		// Not at once: what is wrong with the sibling would only repeat.
		time.AfterFunc(lostAgain, func() { m.link.send(wire.Message{Lost: &l}) })
	}
}

// drain begins the moving out; or, on a final stop, only ends the moving in.
func (m *mover) drain(sends bool) {
	if m == nil {
		return
	}
	m.draining.Store(true)
	m.receiver.Refuse()
	m.lastPeer.Store(time.Now().UnixNano())
	m.sends.Store(sends)
}

// on reports whether connections are moved, and so need not be asked to go.
func (m *mover) on() bool {
	if m == nil || !m.sends.Load() {
		return false
	}
	if m.sender.Peers() > 0 {
		m.lastPeer.Store(time.Now().UnixNano())
		return true
	}
	return time.Since(time.Unix(0, m.lastPeer.Load())) < movePatience
}

// count returns how many connections are a sibling's now.
func (m *mover) count() int {
	if m == nil {
		return 0
	}
	return int(m.moved.Load())
}

func (m *mover) close() {
	if m != nil {
		m.sends.Store(false)
		_ = m.receiver.Close() // the process is about to end, or has nothing left to move
		_ = m.sender.Close()
	}
}

// Accepts reports whether there is a server for a connection.
func (m *mover) Accepts(t handoff.Ticket) bool {
	s := m.servers[t.Listener]
	return s != nil && !m.draining.Load() && (t.Fresh || !s.tls)
}

// Load counts the connections of all servers.
func (m *mover) Load() int {
	n := 0
	for _, s := range m.servers {
		n += s.connections()
	}
	return n
}

// Adopt gives a connection to its server, as if it had just been accepted.
func (m *mover) Adopt(nc net.Conn, t handoff.Ticket) bool {
	s := m.servers[t.Listener]
	return s != nil && s.adopt(nc, t)
}

// movable reports whether the connection is between two requests, with nothing
// of the next one read: then it is a descriptor and no more. c.mu is held.
func (c *conn) movable() bool {
	switch c.phase.Load() {
	case fresh:
		return true
	case idle: // beforeRead has made sure of it, or will before anything is read
		// What was never a request of HTTP/1 may be HTTP/2 whose beginning
		// has come in pieces.
		return !c.http2 && !c.server.tls && (c.method != "" || c.adopted != nil)
	}
	return false
}

// staying reports whether the client of a request of HTTP/1 need not be asked to
// go: its connection goes to a sibling after the response.
func (c *conn) staying() bool {
	if c.server.tls || !c.server.mover.on() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.unwanted(time.Now())
}

// unwanted reports whether siblings have refused the connection for too long.
// c.mu is held.
func (c *conn) unwanted(now time.Time) bool {
	return !c.refusedAt.IsZero() && now.Sub(c.refusedAt) >= movePatience
}

// handOver offers the connection from within the Read that waits for its next
// request: net/http does not touch it meanwhile, and if nobody takes it the Read
// goes on as if nothing had happened.
func (c *conn) handOver() (err error, again bool) {
	c.mu.Lock()
	m, ticket := c.server.mover, c.ticket(time.Now())
	c.offering = true
	c.mu.Unlock()
	err = handoff.ErrRefused
	if raw, ok := c.Conn.(syscall.Conn); ok && m.on() {
		err = m.sender.Send(raw, ticket)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offering = false
	if err == nil || errors.Is(err, handoff.ErrLost) {
		// Lost with the process that had taken it is over all the same.
		if err == nil {
			m.moved.Add(1)
		}
		c.away = true
		c.mute.Store(true)
		return &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Err: errMoved}, false
	}
	c.offered = c.offered || handoff.Offered(err)
	now := time.Now()
	c.moveAt = now.Add(moveAgain)
	if c.refusedAt.IsZero() {
		c.refusedAt = now
	}
	if !m.on() || c.unwanted(now) {
		c.moveAt = time.Time{}
		c.leaveSoon(c.leaving.Load(), now)
	}
	c.arm()
	return nil, true
}

// ticket says what a sibling must know of the connection; c.mu is held. How long
// it has been idle follows from the deadline that net/http has set.
func (c *conn) ticket(now time.Time) handoff.Ticket {
	t := handoff.Ticket{Listener: c.server.listener.name, Fresh: c.phase.Load() == fresh, Offered: c.offered}
	if c.method == http.MethodPost { // of others nothing depends on it, and a client may make one as long as it likes
		t.Method = c.method
	}
	if d := idleTimeout(c.server.srv); !t.Fresh && d > 0 && !c.readDeadline.IsZero() {
		t.Idle = max(0, d-c.readDeadline.Sub(now))
	}
	return t
}

// idleTimeout is what net/http waits for the next request; not positive: for ever.
func idleTimeout(s *http.Server) time.Duration {
	if s.IdleTimeout != 0 {
		return s.IdleTimeout
	}
	return s.ReadTimeout
}

// hushMoves keeps net/http from logging that a handshake has failed where a
// connection has moved before a byte of it came.
func (s *httpServer) hushMoves() {
	if s.mover != nil {
		s.srv.ErrorLog = log.New(&hushed{cmp.Or(s.srv.ErrorLog, log.Default())}, "", 0)
	}
}

// A hushed log passes on all lines but those about moves.
type hushed struct{ to *log.Logger }

func (h *hushed) Write(line []byte) (int, error) {
	if !bytes.Contains(line, []byte(errMoved.Error())) {
		h.to.Print(string(line))
	}
	return len(line), nil
}
