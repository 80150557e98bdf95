package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the parent of whatever a server leaves
// behind, so that it can be seen.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	return nil
}

// endGrace is how long the last processes of a server may take to end after the
// supervisor: the guard, which waits for its end, is one.
const endGrace = 2 * time.Second

// orphans returns the processes that a server has left behind, and kills them.
// No other children of this process may run.
func orphans() (left []string) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(endGrace); ; <-look.C {
		left = left[:0]
		for _, pid := range children(os.Getpid()) {
			// Of those that have ended already nothing is left but their status.
			if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == 0 && err == nil {
				left = append(left, describe(pid))
				if time.Now().After(until) {
					end(pid)
				}
			}
		}
		if len(left) == 0 || time.Now().After(until) {
			return left
		}
	}
}

func describe(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return strconv.Itoa(pid)
	}
	return fmt.Sprintf("%d (%s)", pid, strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " ")))
}

// end kills a child and everything below it.
func end(pid int) {
	for _, child := range children(pid) {
		end(child)
	}
	_ = unix.Kill(pid, unix.SIGKILL) // it has ended, or is no child of ours
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// children lists those of each thread: a process belongs to the one that
// forked it.
func children(pid int) []int {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		return nil // it has ended
	}
	var out []int
	for _, thread := range threads {
		b, err := os.ReadFile(dir + "/" + thread.Name() + "/children")
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}
