package handoff

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Pair makes the two ends of a pair: plain descriptors, close-on-exec and
// nonblocking, which the caller passes on or closes. Which is which does not
// matter; the names are for people.
func Pair() (sender, receiver int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("make pair: %w", err)
	}
	return fds[0], fds[1], nil
}

// receiveFlags: no descriptor that comes is ever inherited.
const receiveFlags = unix.MSG_CMSG_CLOEXEC

// readMarks asks the kernel how far a connection has come. Nil: it does not
// count for this kind of socket (unix, MPTCP), or could not be asked.
//
// The counters and the lengths of the queues come from different system calls,
// so the lengths are read before and after: if they are equal, no segment and
// no acknowledgement came in between.
func readMarks(fd int) *marks {
	if p, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil || p != unix.IPPROTO_TCP {
		return nil
	}
	const tries = 100
	for range tries {
		in, out, err := queued(fd)
		if err != nil {
			return nil
		}
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return nil
		}
		if i, o, err := queued(fd); err != nil || i != in || o != out {
			continue
		}
		m := marks{In: info.Bytes_received - uint64(in), Out: info.Bytes_acked + uint64(out)}
		if finished(info.State) {
			m.In-- // a FIN counts as a byte received, and not in the queue
		}
		return &m
	}
	return nil
}

// queued returns how many bytes were received and not read, and how many were
// written and not acknowledged.
func queued(fd int) (in, out int, err error) {
	if in, err = unix.IoctlGetInt(fd, unix.SIOCINQ); err != nil {
		return 0, 0, err
	}
	out, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	return in, out, err
}

// finished reports whether a TCP socket in this state has received a FIN.
func finished(state uint8) bool {
	switch state {
	case unix.BPF_TCP_CLOSE_WAIT, unix.BPF_TCP_LAST_ACK, unix.BPF_TCP_CLOSING, unix.BPF_TCP_TIME_WAIT:
		return true
	}
	return false
}
