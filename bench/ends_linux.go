package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// ends are the ends of the processes of a tree, seen through pidfds: at the
// moment they happen, whoever is the parent, and of no other process that a pid
// may mean by then.
type ends struct{ fds []unix.PollFd }

// watch opens every process from pid down. The tree must not be growing: it is
// an error if it has changed meanwhile.
func watch(pid int) (*ends, error) {
	pids := family(pid)
	e := &ends{}
	for _, p := range pids {
		fd, err := unix.PidfdOpen(p, 0)
		if err != nil {
			e.release()
			return nil, fmt.Errorf("open process %d: %w", p, err)
		}
		e.fds = append(e.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	// The same twice: so each descriptor is the process that was listed.
	if again := family(pid); len(pids) == 0 || !slices.Equal(pids, again) {
		e.release()
		return nil, fmt.Errorf("open processes of %d: they have changed from %v to %v", pid, pids, again)
	}
	return e, nil
}

// wait returns the time at which the last process has ended.
func (e *ends) wait(ctx context.Context) (time.Time, error) {
	deadline := time.Now().Add(stopTimeout)
	now := time.Now()
	for left := len(e.fds); left > 0; now = time.Now() {
		if err := ctx.Err(); err != nil {
			return now, err
		}
		if now.After(deadline) {
			return now, fmt.Errorf("wait for %d processes: %d are still there after %v", len(e.fds), left, stopTimeout)
		}
		// Woken by an end at once; else to look at ctx.
		if _, err := unix.Poll(e.fds, 100); err != nil && !errors.Is(err, unix.EINTR) {
			return now, fmt.Errorf("poll processes: %w", err)
		}
		for i := range e.fds {
			if f := &e.fds[i]; f.Fd >= 0 && f.Revents != 0 {
				unix.Close(int(f.Fd))
				f.Fd = -1 // poll passes it over
				left--
			}
		}
	}
	return now, nil
}

// close kills what has not ended.
func (e *ends) close() {
	for _, f := range e.fds {
		if f.Fd >= 0 {
			_ = unix.PidfdSendSignal(int(f.Fd), unix.SIGKILL, nil, 0) // it has ended
		}
	}
	e.release()
}

func (e *ends) release() {
	for _, f := range e.fds {
		if f.Fd >= 0 {
			unix.Close(int(f.Fd))
		}
	}
	e.fds = nil
}
