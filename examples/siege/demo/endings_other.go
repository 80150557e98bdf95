//go:build !linux

package demo

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// openEndings returns a function that waits until more of the processes have
// ended and returns which, none after pollTime.
func openEndings(tree []process) (next func() []int, err error) {
	gone := make([]bool, len(tree))
	for _, p := range tree {
		if err := syscall.Kill(p.pid, 0); err != nil {
			return nil, fmt.Errorf("open %s, pid %d: %w", p.name, p.pid, err)
		}
	}
	return func() []int {
		var ended []int
		for end := time.Now().Add(pollTime); len(ended) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
			for i, p := range tree {
				if !gone[i] && errors.Is(syscall.Kill(p.pid, 0), syscall.ESRCH) {
					gone[i] = true
					ended = append(ended, i)
				}
			}
		}
		return ended
	}, nil
}
