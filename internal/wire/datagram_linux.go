package wire

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ReadDatagram reads the next datagram of a socket that does not block: at most
// most bytes, and what came beside it as far as beside has room; descriptors for
// which there is none are closed (unix(7)). read is the Read of its
// syscall.RawConn, which waits for one, or what does not wait. The memory is got
// when the datagram is there: channels and notify sockets are silent most of the
// time, and a supervisor may have a thousand. At the end of a connection it
// returns no bytes and no error.
func ReadDatagram(read func(func(fd uintptr) bool) error, most int, beside []byte) (text, with []byte, flags int, err error) {
	var n, m int
	failed := read(func(fd uintptr) bool {
		// MSG_TRUNC returns the whole length, however little was read.
		n, _, err = unix.Recvfrom(int(fd), nil, unix.MSG_PEEK|unix.MSG_TRUNC)
		if err == nil {
			text = make([]byte, min(n, most))
			n, m, flags, _, err = unix.Recvmsg(int(fd), text, beside, unix.MSG_CMSG_CLOEXEC)
		}
		return err != unix.EAGAIN // nor is there any EINTR: it does not wait
	})
	switch {
	case failed != nil:
		return nil, nil, 0, failed
	case err != nil:
		return nil, nil, 0, fmt.Errorf("read datagram: %w", err)
	}
	return text[:n], beside[:m], flags, nil
}
