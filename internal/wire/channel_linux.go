package wire

import (
	"fmt"

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
