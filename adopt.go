package lastcall

import (
	"net"
	"time"

	"github.com/lastcall/lastcall/internal/handoff"
)

// An adoption is what a connection that came from a sibling has of its life
// there, until its first request here has been read. To net/http it is a new
// connection, whose first request is late from the start.
type adoption struct {
	at     time.Time     // when it came
	whole  time.Duration // what net/http gives its first request; 0: for ever
	header time.Duration // and the header of that; 0: for ever
	begun  time.Duration // after which the first byte of that came; 0: not yet
	crlf   int           // line ends that may still come after a POST, and mean nothing
}

// strayLineEnds is how much net/http passes over behind the body of a POST: old
// clients send a line end there (RFC 9112, section 2.2).
const strayLineEnds = 4

// adopt takes over a connection that a sibling has served; false: it cannot, and
// has not read from it.
func (s *httpServer) adopt(nc net.Conn, t handoff.Ticket) bool {
	return s.listener.adopt(nc, func(nc net.Conn) net.Conn {
		c := &conn{Conn: nc, server: s, method: t.Method, offered: t.Offered}
		if !t.Fresh {
			c.classified = true // of HTTP/1
			c.phase.Store(idle)
			c.adopted = &adoption{at: time.Now(), whole: max(0, s.srv.ReadTimeout)}
			if t.Method == "POST" {
				c.adopted.crlf = strayLineEnds
			}
			if d := idleTimeout(s.srv); d > 0 {
				c.readDeadline = c.adopted.at.Add(max(0, d-t.Idle))
			}
			_ = c.armRead() // it fails on a closed connection only
		}
		s.enter(c)
		return c
	})
}

// deadline turns a read deadline of net/http's for the first request of an
// adopted connection into the one that is meant: before the first byte it is the
// idle timeout's rest, and after it the time for the request counts from there.
// c.mu is held.
func (a *adoption) deadline(set, idleUntil time.Time) time.Time {
	switch {
	case a.begun == 0:
		if !set.IsZero() {
			a.header = set.Sub(a.at)
		}
		return idleUntil
	case set.IsZero() || !set.Add(-a.whole).Before(a.at.Add(a.begun)):
		return set // net/http has begun to count when something came, as with h2c
	}
	return set.Add(a.begun)
}

// begins notes that the first request has begun, and returns the deadline for
// its header. c.mu is held.
func (a *adoption) begins(now time.Time) (headerUntil time.Time) {
	a.begun = max(1, now.Sub(a.at))
	if a.header > 0 {
		headerUntil = now.Add(a.header)
	}
	return headerUntil
}

// strip drops stray line ends from the beginning of what was read.
func (a *adoption) strip(b []byte) int {
	n := 0
	for n < len(b) && a.crlf > 0 && (b[n] == '\r' || b[n] == '\n') {
		n++
		a.crlf--
	}
	if n < len(b) {
		a.crlf = 0
	}
	return copy(b, b[n:])
}
