package wire

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Pair makes the two ends of a channel. The parent's is open; the child's is a
// plain descriptor, close-on-exec, that the caller passes on at a fork and
// then closes itself. It stays out of os.File, which would make it blocking or
// nonblocking for the child as well: the child's OpenChannel decides. Both are
// born nonblocking: a worker that writes to its end from an event loop (Notify)
// must not come to a stop with a supervisor that does not read.
func Pair() (parent *Channel, childFD int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("make channel: %w", err)
	}
	parent, err = OpenChannel(fds[0])
	if err != nil {
		unix.Close(fds[1])
		return nil, -1, err
	}
	return parent, fds[1], nil
}

// next waits for the next datagram and reads it, with what came beside it. The
// room for it is made when it is there: channels are silent most of the time, and
// a supervisor may have a thousand.
func (c *Channel) next() (text, beside []byte, flags int, err error) {
	var n, m int
	failed := c.raw.Read(func(fd uintptr) bool {
		// MSG_TRUNC returns the whole length, however little was read.
		n, _, err = unix.Recvfrom(int(fd), nil, unix.MSG_PEEK|unix.MSG_TRUNC)
		if err == nil {
			text = make([]byte, min(n, MaxMessage+1))
			n, m, flags, _, err = unix.Recvmsg(int(fd), text, c.beside, unix.MSG_CMSG_CLOEXEC)
		}
		return err != unix.EAGAIN // nor is there any EINTR: it does not wait
	})
	switch {
	case failed != nil:
		return nil, nil, 0, failed
	case err != nil:
		return nil, nil, 0, fmt.Errorf("receive message: %w", err)
	case n == 0:
		return nil, nil, 0, io.EOF
	}
	return text[:n], c.beside[:m], flags, nil
}
