package handoff

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A link is one end of a pair. Nothing that is sent on it waits, so that it
// may be done under a lock: what the kernel has no room for is kept, in order,
// and sent when there is some. Any goroutine may send; one receives.
type link struct {
	conn *net.UnixConn
	raw  syscall.RawConn
	buf  []byte
	oob  []byte

	mu       sync.Mutex
	unsent   [][]byte      // in order; while there is any, a flush is under way
	sealed   bool          // no offer goes out any more
	closing  bool          // the last to flush closes
	flushing bool          // a goroutine waits for room
	closed   chan struct{} // closed with the descriptor
}

// openLink takes over the descriptor of an end, also on error.
func openLink(fd int) (*link, error) {
	f := os.NewFile(uintptr(fd), "pair")
	if f == nil {
		return nil, fmt.Errorf("open pair: descriptor %d is not valid", fd)
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open pair: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("open pair: descriptor %d is a %T, not a unix socket", fd, c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		u.Close()
		return nil, fmt.Errorf("open pair: %w", err)
	}
	// Room for two descriptors, as CMSG_SPACE(1) happens to have: a message
	// that carries more is cut by the kernel, which says so.
	return &link{conn: u, raw: raw, buf: make([]byte, maxMessage+1), oob: make([]byte, syscall.CmsgSpace(4)), closed: make(chan struct{})}, nil
}

// send sends a message, now or when there is room. That the peer is gone is
// for receive to say.
func (l *link) send(m message) {
	b, err := encode(m)
	if err != nil { // only an offer can be too large
		panic(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsent = append(l.unsent, b)
	err = l.raw.Control(func(fd uintptr) {
		if !l.drainLocked(fd) && !l.flushing {
			l.flushing = true
			go l.flush()
		}
	})
	if err != nil { // closed
		l.unsent = nil
	}
}

// offer sends a message with a descriptor, now or not at all: full says that
// it can be tried again when the peer has read something.
func (l *link) offer(m message, conn int) (full bool, err error) {
	b, err := encode(m)
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sealed {
		return false, net.ErrClosed
	}
	cerr := l.raw.Control(func(fd uintptr) {
		if err = syscall.EAGAIN; l.drainLocked(fd) { // what waits goes first, or it would wait for ever
			err = sendmsg(fd, b, syscall.UnixRights(conn))
		}
	})
	if cerr != nil {
		return false, cerr
	}
	return noRoom(err), err
}

// seal ends offers. Those that came before are in the queue, so that what is
// sent from now on comes after them.
func (l *link) seal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = true
}

// drainLocked sends what is unsent, and reports whether nothing is left.
func (l *link) drainLocked(fd uintptr) bool {
	for len(l.unsent) > 0 {
		err := sendmsg(fd, l.unsent[0], nil)
		if noRoom(err) {
			return false
		}
		if err != nil { // the peer is gone
			l.unsent = nil
			return true
		}
		l.unsent = l.unsent[1:]
	}
	l.unsent = nil
	return true
}

func (l *link) flush() {
	err := l.raw.Write(func(fd uintptr) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		// Together with the emptiness of the queue: whoever adds to it next
		// must know that nobody waits any more.
		l.flushing = !l.drainLocked(fd)
		return !l.flushing
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.flushing, l.unsent = false, nil
	}
	l.closeLocked()
}

func sendmsg(fd uintptr, b, oob []byte) error {
	for {
		_, err := syscall.SendmsgN(int(fd), b, oob, nil, syscall.MSG_DONTWAIT)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// noRoom reports whether an error of sendmsg(2) says that the peer, or the
// kernel, has to get rid of something first. ETOOMANYREFS: too many descriptors
// of this user are in queues.
func noRoom(err error) bool {
	switch err {
	case syscall.EAGAIN, syscall.ENOBUFS, syscall.ENOMEM, syscall.ETOOMANYREFS:
		return true
	}
	return false
}

// receive waits for the next message that can be read, and returns the
// descriptors that came with it: they are the caller's. io.EOF: the peer is
// gone, and has said nothing more.
func (l *link) receive() (message, []int, error) {
	for {
		n, oobn, _, _, err := l.conn.ReadMsgUnix(l.buf, l.oob)
		if errors.Is(err, syscall.ECONNRESET) {
			// The peer ended with messages of ours unread: reported once, and
			// ahead of its last words, which are still to be read.
			continue
		}
		if err != nil {
			return message{}, nil, err
		}
		// The kernel drops descriptors for which there is no room (MSG_CTRUNC);
		// how many have come says as much, so the flag is not looked at.
		fds := rights(l.oob[:oobn])
		m, err := decode(l.buf[:n])
		if err != nil {
			closeAll(fds)
			continue
		}
		return m, fds, nil
	}
}

// rights returns the descriptors of a control message.
func rights(oob []byte) []int {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for i := range messages {
		if got, err := syscall.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}

// interrupt makes receive return an error that is os.ErrDeadlineExceeded, now
// and from now on.
func (l *link) interrupt() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) }

// close closes the descriptor, at once or when all that is unsent has been
// sent, however long that takes: an end that closes means that its process has
// ended and that nothing more was to be said. wait on closed to be sure.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed, l.closing = true, true
	l.closeLocked()
}

func (l *link) closeLocked() {
	if !l.closing || l.flushing {
		return
	}
	l.closing = false
	select {
	case <-l.closed: // closed before
	default:
		l.conn.Close()
		close(l.closed)
	}
}
