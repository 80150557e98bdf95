//go:build !linux

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
	cerr := control(c, func(fd int) { n, _, err = unix.Recvfrom(fd, p, unix.MSG_DONTWAIT) })
	switch {
	case cerr != nil:
		return 0, cerr
	case err == unix.EAGAIN, err == unix.EINTR:
		return 0, errNothing
	case err != nil:
		return 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Err: err}
	}
	return n, nil
}

// unread reports whether something is there to be read.
func unread(c net.Conn) bool {
	b := make([]byte, 1)
	n := 0
	_ = control(c, func(fd int) { n, _, _ = unix.Recvfrom(fd, b, unix.MSG_DONTWAIT|unix.MSG_PEEK) })
	return n > 0
}

// bytesMoved cannot be told here: only what a write gets rid of is progress.
func bytesMoved(net.Conn) uint64 { return 0 }

func control(c net.Conn, f func(fd int)) error {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}
