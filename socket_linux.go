package lastcall

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNothing says that a socket has nothing to read yet.
var errNothing = errors.New("nothing to read")

// receive reads what is there without waiting, whatever the deadline.
func receive(c net.Conn, p []byte) (n int, err error) {
	cerr := control(c, func(fd int) {
		for {
			if n, _, err = unix.Recvfrom(fd, p, unix.MSG_DONTWAIT); err != unix.EINTR {
				return
			}
		}
	})
	switch {
	case cerr != nil:
		return 0, cerr
	case err == unix.EAGAIN:
		return 0, errNothing
	case err != nil:
		return 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Err: err}
	}
	return n, nil
}

// unread reports whether something is there to be read.
func unread(c net.Conn) bool {
	n := 0
	_ = control(c, func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.TIOCINQ) })
	return n > 0
}

// bytesMoved returns a number that changes whenever the peer has taken or sent
// something.
func bytesMoved(c net.Conn) (sum uint64) {
	_ = control(c, func(fd int) {
		if _, ok := c.(*net.TCPConn); ok {
			if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				sum = info.Bytes_acked + info.Bytes_received
			}
			return
		}
		// A unix socket has no such counts. What lies in its queue changes
		// when the peer takes of it; what is written then changes it back,
		// but a write that gets anywhere is progress too.
		queued, _ := unix.IoctlGetInt(fd, unix.TIOCOUTQ)
		sum = uint64(queued)
	})
	return sum
}

func control(c net.Conn, f func(fd int)) error {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}
