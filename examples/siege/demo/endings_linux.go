package demo

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// openEndings returns a function that waits until more of the processes have
// ended and returns which, none after pollTime. A pidfd says so at once, and
// can mean no other process. The descriptors of processes that never end stay
// open until we do.
func openEndings(tree []process) (next func() []int, err error) {
	fds := make([]unix.PollFd, len(tree))
	for i, p := range tree {
		fd, err := unix.PidfdOpen(p.pid, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s, pid %d: %w", p.name, p.pid, err)
		}
		fds[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	return func() []int {
		if _, err := unix.Poll(fds, int(pollTime.Milliseconds())); err != nil {
			return nil // interrupted: the next call waits again
		}
		var ended []int
		for i := range fds {
			if fds[i].Fd >= 0 && fds[i].Revents != 0 {
				ended = append(ended, i)
				unix.Close(int(fds[i].Fd))
				fds[i].Fd = -1 // poll passes it over
			}
		}
		return ended
	}, nil
}
