package lastcall

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A conn is a connection of an HTTP server as net/http sees it, or as crypto/tls
// does where there is TLS. It knows what the connection is doing, so that a
// drain can close it without losing a request that is already on its way, and
// bounds the patience with clients that do nothing while one waits for them.
// Outside of a drain it passes everything through.
//
//	fresh --bytes--> header --whole--> active --response sent--> idle
//	                    ^                 | hijacked               |
//	                    +--------------------- bytes --------------+
type conn struct {
	net.Conn // *net.TCPConn or *net.UnixConn
	server   *httpServer
	cancel   context.CancelCauseFunc // of the context of its requests

	// Guarded by ledger.mu.
	operations int
	gone       bool // closed or hijacked

	current atomic.Pointer[Operation] // the request of HTTP/1, from its begin until the next one's
	phase   atomic.Uint32             // written with mu held
	leaving atomic.Pointer[leaving]   // nil while nobody drains; written with mu held
	mute    atomic.Bool               // closing, and nothing is to be said any more

	// Whether the socket has a deadline; written with mu held. Five times in a
	// request net/http takes away one that is not there, and to leave that out
	// saves most of what the package costs elsewhere.
	readArmed, writeArmed atomic.Bool
	deadlines             atomic.Int32 // settings of that for reads since it fell idle

	mu            sync.Mutex
	http2         bool
	classified    bool      // whether it is HTTP/2 is known
	preface       int       // how much of that of HTTP/2 has come; negative: something else has
	goneAway      bool      // its client has been sent GOAWAY
	away          bool      // it is a sibling's now, or was lost with one
	offered       bool      // to one that may still have a copy of the socket
	offering      bool      // to a sibling, at this moment
	refusedAt     time.Time // since when siblings have not taken it
	method        string    // of the last request of HTTP/1
	adopted       *adoption // until the first request of one that a sibling has served
	readDeadline  time.Time // as net/http, or the application, last set it
	writeDeadline time.Time
	leaveAt       time.Time // when it closes, unless a request comes; zero: not yet
	moveAt        time.Time // when it is offered to a sibling; zero: not at all
	waitingSince  time.Time // since when the client has neither taken nor sent a byte
	moved         uint64    // the kernel's count of such bytes, when last looked at
	writes        int       // calls of Write and ReadFrom in progress, during a drain
	reads         int       // since it fell idle
}

// The phases of a connection.
const (
	fresh    uint32 = iota // accepted, not a byte has come
	header                 // something of a request has, but not all of its header
	active                 // a request is with its handler, or its response is on its way
	idle                   // between two requests
	hijacked               // the application's own
)

type connKey struct{}

// Read reads for net/http. During a drain it ends when the connection is to be
// closed and nothing has come.
func (c *conn) Read(p []byte) (int, error) {
	if c.mute.Load() {
		// net/http looks twice for the beginning of HTTP/2, and then for a
		// request of HTTP/1, without a look at the errors. The bytes may be a
		// sibling's by now.
		return 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Err: net.ErrClosed}
	}
	c.beforeRead(len(p))
	for {
		n, err := c.Conn.Read(p)
		if n > 0 {
			if n = c.received(p[:n]); n == 0 {
				continue
			}
			return n, err
		}
		if c.leaving.Load() == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if n, err, again := c.expired(p, err); !again {
			return n, err
		}
	}
}

// readBuffer is the size of net/http's buffer.
const readBuffer = 4096

// beforeRead finds out that a connection is not idle though net/http has said
// so: the beginning of a pipelined request may lie in net/http's buffer. It
// does not if this is the first read since, with the whole buffer free, and
// after only one setting of the deadline. Over TLS the buffer cannot be seen
// from here, and nothing but a read tells.
func (c *conn) beforeRead(size int) {
	if c.phase.Load() != idle {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if !c.http2 && !c.server.tls && c.adopted == nil && (c.reads > 1 || c.deadlines.Load() != 1 || size != readBuffer) {
		c.headerBegins()
	}
}

// received notes that bytes have come, and returns how many of them are for
// net/http.
func (c *conn) received(b []byte) int {
	if p := c.phase.Load(); (p == active || p == hijacked) && c.leaving.Load() == nil {
		return len(b) // the hot path
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.receivedLocked(b)
}

func (c *conn) receivedLocked(b []byte) int {
	if c.adopted != nil && c.adopted.begun == 0 {
		if b = b[:c.adopted.strip(b)]; len(b) == 0 {
			return 0
		}
		c.readDeadline = c.adopted.begins(time.Now())
		c.arm()
	}
	switch c.phase.Load() {
	case fresh:
		c.seePreface(b)
		c.headerBegins()
	case header:
		c.seePreface(b)
	case idle:
		if !c.http2 { // where frames of any kind come and go
			c.headerBegins()
		}
	}
	if c.leaving.Load() != nil {
		c.waitingSince = time.Now()
		c.arm()
	}
	return len(b)
}

// seePreface finds out whether the client speaks HTTP/2 without TLS. What it
// begins with may come in pieces; c.mu is held.
func (c *conn) seePreface(b []byte) {
	const preface = "PRI * HTTP/2.0"
	if c.classified || c.preface < 0 {
		return
	}
	n := min(len(b), len(preface)-c.preface)
	if string(b[:n]) != preface[c.preface:c.preface+n] {
		c.preface = -1
		return
	}
	if c.preface += n; c.preface == len(preface) {
		c.http2, c.classified = true, true
	}
}

// headerBegins gives what may become a request the time of a fresh connection.
func (c *conn) headerBegins() {
	c.phase.Store(header)
	if l := c.leaving.Load(); l != nil {
		c.leaveAt, c.moveAt = time.Now().Add(l.fresh), time.Time{}
		c.arm()
	}
}

// Write writes for net/http. A client that takes nothing is not waited for
// longer than the stall timeout, during a drain.
func (c *conn) Write(p []byte) (int, error) {
	if c.mute.Load() {
		return 0, net.ErrClosed
	}
	defer c.writing()()
	n, err := c.Conn.Write(p)
	for m := n; err != nil && c.goOn(m, err); n += m {
		m, err = c.Conn.Write(p[n:])
	}
	return n, err
}

// A file can be read again from where the client has got to: *os.File, and what
// io.Copy makes of one.
type file interface {
	io.Seeker
	syscall.Conn
}

// ReadFrom keeps sendfile for net/http. Anything but a file is copied by Write,
// since what was read from it could not be read again when a write is to be
// taken up after a deadline.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	limited, _ := src.(*io.LimitedReader)
	from := src
	if limited != nil {
		from = limited.R
	}
	f, isFile := from.(file)
	rf, canSend := c.Conn.(io.ReaderFrom)
	if !isFile || !canSend {
		return io.Copy(onlyWriter{c}, src)
	}
	start, err := f.Seek(0, io.SeekCurrent)
	if err != nil { // a pipe
		return io.Copy(onlyWriter{c}, src)
	}

	defer c.writing()()
	var limit int64
	if limited != nil {
		limit = limited.N
	}
	n, err := rf.ReadFrom(src)
	for m := n; err != nil && c.goOn(int(m), err); n += m {
		if _, err := f.Seek(start+n, io.SeekStart); err != nil {
			return n, err
		}
		if limited != nil {
			limited.N = limit - n
		}
		m, err = rf.ReadFrom(src)
	}
	return n, err
}

// SetReadDeadline sets the deadline for reads; during a drain an earlier one
// may hold.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.phase.Load() == idle {
		c.deadlines.Add(1)
	}
	if t.IsZero() && !c.readArmed.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.adopted != nil {
		t = c.adopted.deadline(t, c.readDeadline)
	}
	c.readDeadline = t
	return c.armRead()
}

// SetWriteDeadline sets the deadline for writes; during a drain an earlier one
// may hold.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() && !c.writeArmed.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeDeadline = t
	return c.armWrite()
}

// SetDeadline sets both.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close closes the connection; what the application has hijacked ends with it.
// One that is a sibling's stays open there.
func (c *conn) Close() error {
	c.linger()
	return c.shut()
}

// shut closes at once.
func (c *conn) shut() error {
	c.mu.Lock()
	copied := c.offered
	c.mu.Unlock()
	if copied {
		_ = c.CloseWrite() // close(2) alone tells the client nothing while there is a copy
	}
	err := c.Conn.Close()
	c.server.forget(c)
	return err
}

// CloseWrite ends the sending direction, unless the connection is, or may just
// become, a sibling's: shutdown(2) ends it for all who have a copy.
func (c *conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away || c.offering {
		return net.ErrClosed
	}
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn gives access to the socket, as syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

// NetConn returns the connection below, as *tls.Conn does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// earlier returns the earlier of two times of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// passed reports whether a time of which zero means never has come.
func passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
