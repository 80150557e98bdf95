package lastcall

import (
	"errors"
	"io"
	"os"
	"time"
)

// A leaving is what a drain tells the connections of a server.
type leaving struct {
	idle  time.Duration // an idle one closes after it
	fresh time.Duration // one without a whole header too
	stall time.Duration // the patience with a client that does nothing
}

// rollLinger is how long a roll holds idle connections: a client that sends its
// next request within it is answered, and told to go by the answer, instead of
// finding the connection closed.
const rollLinger = time.Second

// lingerTimeout bounds the wait for a client that has sent more than was read.
const lingerTimeout = 500 * time.Millisecond

// leave begins the drain of a connection, whatever it is doing. A Read that
// waits is woken by the new deadline with no byte read; and there, in expired,
// the connection is offered to a sibling, or closed.
func (c *conn) leave(l *leaving, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving.Store(l)
	c.waitingSince = now
	c.moved = bytesMoved(c.Conn)
	if c.phase.Load() == header {
		c.leaveAt = now.Add(l.fresh)
	} else if !c.moveSoon(now) {
		c.leaveSoon(l, now)
	}
	c.arm()
}

// moveSoon has the connection offered to a sibling, if it can be: now, or as
// soon as there is one. c.mu is held.
func (c *conn) moveSoon(now time.Time) bool {
	if !c.movable() || !c.server.mover.on() || c.unwanted(now) {
		return false
	}
	c.moveAt, c.leaveAt = now, time.Time{}
	if c.server.mover.sender.Peers() == 0 {
		c.moveAt = now.Add(moveAgain)
	}
	return true
}

// offerAgain has a connection that waits for a sibling offered now.
func (c *conn) offerAgain(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moveAt.After(now) {
		c.moveAt = now
		c.arm()
	}
}

// leaveSoon has the connection closed, unless a request comes in time. A client
// of HTTP/2 has been told to go, or will be, and needs the time to see it: closing
// under what it still sends would take its last response along. c.mu is held.
func (c *conn) leaveSoon(l *leaving, now time.Time) {
	switch c.phase.Load() {
	case fresh:
		c.leaveAt = now.Add(l.fresh)
	case idle:
		switch {
		case !c.http2:
			c.leaveAt = now.Add(l.idle)
		case c.goneAway:
			c.leaveAt = now.Add(l.fresh)
		}
	}
}

// wentAway notes that GOAWAY is on its way to a client of HTTP/2, which may
// have a request on its way to us. It reports whether that is news: GOAWAY
// cannot be sent before the preface of HTTP/2 has been read.
func (c *conn) wentAway(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, phase := c.leaving.Load(), c.phase.Load()
	if l == nil || !c.http2 || c.goneAway || phase != idle && phase != active {
		return false
	}
	c.goneAway = true
	c.leaveAt = now.Add(l.fresh)
	c.arm()
	return true
}

func (c *conn) isHTTP2() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.http2
}

// arm sets the deadlines that hold now; c.mu is held. It is called whenever
// something they depend on changes, so a deadline that has fired may be an old
// one: expired and goOn look again.
func (c *conn) arm() {
	// The errors are those of a connection that is closed.
	_ = c.armRead()
	_ = c.armWrite()
}

func (c *conn) armRead() error {
	t := earlier(c.readDeadline, c.readLimit())
	c.readArmed.Store(!t.IsZero())
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) armWrite() error {
	t := earlier(c.writeDeadline, c.writeLimit())
	c.writeArmed.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

// readLimit is when a drain loses its patience with a connection that reads.
func (c *conn) readLimit() time.Time {
	l := c.leaving.Load()
	if l == nil {
		return time.Time{}
	}
	switch c.phase.Load() {
	case fresh, header, idle:
		return earlier(c.leaveAt, c.moveAt)
	case active:
		op := c.current.Load()
		if op == nil || c.http2 || c.writes > 0 {
			break
		}
		// net/http reads behind a handler's back, to see the client go. Only
		// a handler that wants its body, or what is left of the body after
		// it has returned, is waiting for the client.
		if s := op.state.Load(); s == stateReading || s == stateWriting {
			return c.waitingSince.Add(l.stall)
		}
	}
	return time.Time{}
}

// writeLimit is the same for writes.
func (c *conn) writeLimit() time.Time {
	l := c.leaving.Load()
	if l == nil || c.phase.Load() == hijacked {
		return time.Time{}
	}
	return c.waitingSince.Add(l.stall)
}

// awaitBody begins a wait for the client's next bytes.
func (c *conn) awaitBody() {
	if c.leaving.Load() == nil {
		return // leave will find the state of the operation
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waitingSince = time.Now()
	c.arm()
}

// writing begins a wait for the client to take something, and returns its end.
func (c *conn) writing() (done func()) {
	if c.leaving.Load() == nil {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	c.waitingSince = time.Now()
	c.arm()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.writes--
		c.waitingSince = time.Now()
		c.arm()
	}
}

// expired decides what to make of a Read that ended by a deadline. The runtime
// looks at the deadline before it asks the kernel, so something may have come
// all the same: the kernel is asked once more before the connection is given
// up.
func (c *conn) expired(p []byte, timeout error) (n int, err error, again bool) {
	c.mu.Lock()
	now := time.Now()
	limit := c.readLimit()
	switch {
	case passed(c.readDeadline, now): // net/http's own, or the application's
		c.mu.Unlock()
		return 0, timeout, false
	case !passed(limit, now): // it was set for what is over
		c.arm()
		c.mu.Unlock()
		return 0, nil, true
	case passed(c.moveAt, now) && c.movable():
		c.mu.Unlock()
		err, again = c.handOver()
		return 0, err, again
	}
	n, err = receive(c.Conn, p)
	stalled := false
	switch {
	case n > 0:
		n = c.receivedLocked(p[:n])
		again = n == 0
	case !errors.Is(err, errNothing):
		if err == nil {
			err = io.EOF
		}
	case c.phase.Load() == header:
		// A client that is slow to send its request would be told 400, as if
		// the request were wrong. A connection that closes says better that
		// it was not begun.
		c.mute.Store(true)
		err = timeout
	case c.phase.Load() != active:
		err = timeout // net/http closes without a word
	case c.progress(0, now):
		c.arm()
		again, err = true, nil
	default:
		err, stalled = timeout, true
	}
	c.mu.Unlock()
	if stalled {
		c.stall()
	}
	return n, err, again
}

// goOn reports whether a write that ended with err after m bytes is to be taken
// up again.
func (c *conn) goOn(m int, err error) bool {
	l := c.leaving.Load()
	if l == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.mu.Lock()
	now := time.Now()
	if passed(c.writeDeadline, now) {
		c.mu.Unlock()
		return false
	}
	stalled := !c.progress(m, now) && passed(c.writeLimit(), now)
	if !stalled {
		c.arm()
	}
	c.mu.Unlock()
	if stalled {
		c.stall()
	}
	return !stalled
}

// progress notes whether the client has done anything since the last look. A
// write that waits says little about it: the kernel wakes it when a third of
// its buffer is free, which can be megabytes.
func (c *conn) progress(m int, now time.Time) bool {
	moved := bytesMoved(c.Conn)
	if m <= 0 && moved == c.moved {
		return false
	}
	c.moved, c.waitingSince = moved, now
	return true
}

// stall cuts what is in progress on the connection.
func (c *conn) stall() {
	c.server.ledger.cancel(cutStalled, func(op *Operation) bool { return op.connOf() == c })
}

// linger closes in two steps where the client has sent what nobody will read,
// a pipelined request for one: closing would answer that with a reset, which
// can overtake the response.
func (c *conn) linger() {
	c.mu.Lock()
	needed := c.server.leaving.Load() && !c.away && c.phase.Load() != hijacked && !c.http2 && unread(c.Conn)
	c.mu.Unlock()
	if !needed || c.CloseWrite() != nil {
		return
	}
	if c.Conn.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		_, _ = io.Copy(io.Discard, c.Conn) // until the client has seen it, or goes
	}
}
