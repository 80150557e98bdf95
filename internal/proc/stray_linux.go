package proc

import (
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Spare names the children of this process that are somebody else's business,
// and no strays, instead of those that NewChildren has found: a shell that has
// become this process by exec may have left some. Spared returns them.
func (c *Children) Spare(pids []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before = make(map[int]bool)
	for _, pid := range pids {
		c.before[pid] = true
	}
}

// Spared returns what Spare was given.
func (c *Children) Spared() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.before))
}

// Strays returns the living children of this process that it has not started:
// what descends from those it has, has left their groups, and has lost its
// parent. Children that something else in this process waits for (os/exec) are
// not among them. Each is from now on a Process like others, without a group.
func (c *Children) Strays() []*Process {
	c.mu.Lock() // nothing is reaped meanwhile, so no number changes hands
	defer c.mu.Unlock()
	var out []*Process
	for _, pid := range childrenOf(os.Getpid()) {
		if c.closed || c.started[pid] != nil || c.before[pid] {
			continue
		}
		pidfd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
		if err != nil {
			continue
		}
		held, err := holds(pid, pidfd)
		if held || err != nil || ended(pidfd) {
			_ = unix.Close(pidfd)
			continue
		}
		if p, err := c.adopt(Handover{PID: pid, Pidfd: pidfd}); err == nil {
			out = append(out, p)
		}
	}
	return slices.Clip(out)
}

// ended tells whether the process of a pidfd is dead.
func ended(pidfd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}
