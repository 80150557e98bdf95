package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How long until sweep must look again though no child has died.
const (
	lingerInterval = 100 * time.Millisecond // members of a group may have other parents
	hiddenInterval = time.Second            // a zombie that is not ours to take hides others
)

// sweep reaps the dead children that nobody waits for and finds the groups
// that are empty. It returns after how long to look again, 0 for not before
// something happens.
//
// A subreaper and a pid 1 get children they have never started, and must reap
// them; but a plain wait for any child would also take the status that an
// os/exec of this process waits for. So the dead are looked at first
// (WNOWAIT), and the rule is:
//
//   - A leader is left to its own await.
//   - A member of a group that Start has made is reaped. Nobody else forks
//     into these groups. (The next rule would do, but at the cost of reading
//     all descriptors for each, while a thousand such orphans may come at once.)
//   - Any other is reaped unless this process holds a pidfd of it. Package os
//     has one for each child from the fork until after the wait, so a dead
//     child without is an orphan, or one whose os.Process was released.
//
// The kernel shows one zombie at a time, the same until it is reaped. One that
// is left where it is may hide others, hence the second look by group. An
// orphan outside of all groups then stays a zombie until what hides it is
// waited for. Rejected: listing children in /proc, which needs an option that kernels
// are built without; a grace time for os/exec, which some slow caller exceeds.
func (c *Children) sweep() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var again time.Duration
	if !c.reap(unix.P_ALL, 0) {
		again = hiddenInterval
	}
	for pid, p := range c.started {
		if !p.reaped {
			continue
		}
		c.reap(unix.P_PGID, pid)
		if !c.settle(p) {
			again = lingerInterval
		}
	}
	return again
}

// reap takes dead children of one kind until there are none, which it reports,
// or the next one is not to be taken.
func (c *Children) reap(idType, id int) bool {
	for {
		pid := peek(idType, id)
		if pid == 0 {
			return true
		}
		if !c.take(pid) {
			return false
		}
	}
}

// take reaps the dead child pid if that is the rule, and reports whether.
func (c *Children) take(pid int) bool {
	if p := c.started[pid]; p != nil && !p.reaped {
		return false
	}
	// The group of a zombie can still be asked for.
	if pgid, err := unix.Getpgid(pid); err == nil && pgid != pid && c.started[pgid] != nil {
		exit, ended := reapPid(pid, syscall.WNOHANG)
		return ended && exit.Code >= 0
	}
	return takeUnheld(pid)
}

// takeUnheld reaps the dead child pid unless this process holds a pidfd of it.
// It works through a pidfd of its own: should the holder wait for the child in
// the meantime, even a recycled pid is not mistaken for it.
func takeUnheld(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if held, err := holds(pid, fd); held || err != nil {
		return false // an error is a lack of descriptors: next time
	}
	for {
		err := unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG, nil)
		if err != syscall.EINTR {
			return err == nil
		}
	}
}

// holds reports whether a descriptor of this process, other than except, is a
// pidfd of pid. fdinfo of a pidfd has a line "Pid:", that of nothing else has.
func holds(pid, except int) (bool, error) {
	const dir = "/proc/self/fdinfo/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("list descriptors: %w", err)
	}
	line := fmt.Appendf(nil, "\nPid:\t%d\n", pid)
	for _, entry := range entries {
		if entry.Name() == strconv.Itoa(except) {
			continue
		}
		info, err := os.ReadFile(dir + entry.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed since
		}
		if err != nil {
			return false, fmt.Errorf("read descriptor: %w", err)
		}
		if bytes.Contains(info, line) {
			return true, nil
		}
	}
	return false, nil
}

// peek returns the pid of a dead child without reaping it, 0 if there is none.
func peek(idType, id int) int {
	// unix.Siginfo hides the union, whose first member here is the pid; it
	// starts at the first word boundary after three int32.
	const word = unsafe.Sizeof(uintptr(0))
	const offset = (3*4 + word - 1) &^ (word - 1)
	for {
		var info unix.Siginfo
		err := unix.Waitid(idType, id, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0 // ECHILD: no children at all
		}
		return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), offset)))
	}
}
