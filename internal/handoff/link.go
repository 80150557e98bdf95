package handoff

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A link is one end of a pair. Nothing that is sent on it waits, so that it
// may be done under a lock: what the kernel has no room for is kept, and sent
// when there is some. Any goroutine may send; one receives.
type link struct {
	conn *net.UnixConn
	raw  syscall.RawConn
	buf  []byte
	oob  []byte
	load func() int // goes with every message; nil: a sender's

	mu       sync.Mutex
	unsent   []message     // while there is any, it is held back or a flush is under way
	holding  bool          // what is sent waits for more of its kind
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

// send says something of one offer, now, or when there is room and hear holds
// nothing back. That the peer is gone is for receive to say.
//
// What is unsent is joined to others of its kind, and so may overtake those of
// another. That changes nothing: all that is ever unsent of one offer is one
// message, or an ACK and the NACK that crosses it, of which either may be first.
func (l *link) send(kind op, id uint64, w why) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.unsent, func(m message) bool { return m.Op == kind && m.Why == w && len(m.IDs) < maxIDs })
	if i < 0 {
		l.unsent = append(l.unsent, message{Op: kind, Why: w})
		i = len(l.unsent) - 1
	}
	l.unsent[i].IDs = append(l.unsent[i].IDs, id)
	if !l.holding {
		l.pushLocked()
	}
}

// greet says what goes with every message, and no more.
func (l *link) greet() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsent = append(l.unsent, message{Op: opLoad})
	l.pushLocked()
}

// hold holds back what is sent from now on, or sends it and no longer does.
func (l *link) hold(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holding = on
	if !on {
		l.pushLocked()
		l.closeLocked()
	}
}

// pushLocked sends what is unsent, now or when there is room.
func (l *link) pushLocked() {
	if len(l.unsent) == 0 || l.flushing {
		return
	}
	err := l.raw.Control(func(fd uintptr) {
		if !l.drainLocked(fd) {
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
		if err = syscall.EAGAIN; !l.flushing || l.drainLocked(fd) { // what waits for room goes first, or it would wait for ever
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
		if l.load != nil {
			l.unsent[0].Load = l.load()
		}
		b, err := encode(l.unsent[0])
		if err != nil { // only an offer can be too large
			panic(err)
		}
		err = sendmsg(fd, b, nil)
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

// hear hands over each message that comes, with the descriptors that came with
// it, which are handle's, until an error: see receive. What is sent meanwhile is
// held back until there is nothing more to hear, or so much has been heard that
// the peer should get on: nearly all that a message costs is the system call
// and the waking of the peer.
func (l *link) hear(handle func(message, []int)) error {
	for {
		m, fds, err := l.receive(true)
		if err != nil {
			return err
		}
		l.hold(true)
		for n := 1; err == nil; n++ {
			handle(m, fds)
			if n == window {
				break
			}
			m, fds, err = l.receive(false)
		}
		l.hold(false)
		if err != nil && !errors.Is(err, syscall.EAGAIN) {
			return err
		}
	}
}

// receive returns the next message that can be read, and the descriptors that
// came with it: they are the caller's. If there is none it waits, or returns
// EAGAIN. io.EOF: the peer is gone, and has said nothing more.
func (l *link) receive(wait bool) (message, []int, error) {
	for {
		var n, oobn int
		var err error
		rerr := l.raw.Read(func(fd uintptr) bool {
			n, oobn, err = recvmsg(fd, l.buf, l.oob)
			return !wait || !errors.Is(err, syscall.EAGAIN)
		})
		if err = cmp.Or(rerr, err); errors.Is(err, syscall.ECONNRESET) {
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
		if n == 0 { // no message is empty
			closeAll(fds)
			return message{}, nil, io.EOF
		}
		m, err := decode(l.buf[:n])
		if err != nil {
			closeAll(fds)
			continue
		}
		return m, fds, nil
	}
}

func recvmsg(fd uintptr, b, oob []byte) (n, oobn int, err error) {
	for {
		n, oobn, _, _, err = syscall.Recvmsg(int(fd), b, oob, receiveFlags)
		if !errors.Is(err, syscall.EINTR) {
			return n, oobn, err
		}
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
	if !l.closing || l.flushing || l.holding {
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
