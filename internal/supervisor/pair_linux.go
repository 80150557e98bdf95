package supervisor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// pair makes the two ends that introduced workers get: close-on-exec, and
// nonblocking, since both are for the runtimes that receive them.
func pair() (sender, receiver int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("make socket pair: %w", err)
	}
	return fds[0], fds[1], nil
}
