// Package testport finds ports for servers under test.
package testport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
)

// The kernel gives ports from 32768 on to clients (ip_local_port_range), of
// which there are thousands in some tests.
const (
	lowest = 10000
	above  = 32000
)

// Hold finds n ports in a row that are free on every address of IPv4 and
// returns the first. Until release is called no other Hold finds them, in this
// process or another; a server binds them all the same, as long as it sets
// SO_REUSEADDR, as nearly all do. Nobody listens on them: who connects is
// refused.
//
// It binds them without SO_REUSEADDR, which fails if anybody else is bound, and
// sets that afterwards, which lets in those who have it too (socket(7), and
// inet_csk_bind_conflict of Linux). A port that is only looked at and let go
// is found again by the next test, before the server of the first is up: one
// start in some thousands fails of that. On other systems than Linux that is
// all there is.
func Hold(n int) (first int, release func(), err error) {
	for range 1000 {
		first = lowest + rand.IntN(above-lowest-n)
		if release, err = hold(first, n); err == nil {
			return first, release, nil
		}
	}
	return 0, nil, fmt.Errorf("find %d free ports: %w", n, err)
}

func hold(first, n int) (release func(), err error) {
	var held []int
	release = func() {
		for _, fd := range held {
			_ = syscall.Close(fd) // nothing was written
		}
		held = nil
	}
	for port := first; port < first+n; port++ {
		// Not forked in between: the descriptor would outlive us in a child.
		syscall.ForkLock.RLock()
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err == nil {
			syscall.CloseOnExec(fd)
			held = append(held, fd)
		}
		syscall.ForkLock.RUnlock()
		if err == nil {
			err = errors.Join(
				syscall.Bind(fd, &syscall.SockaddrInet4{Port: port}),
				syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
		}
		if err != nil {
			release()
			return nil, err
		}
	}
	if runtime.GOOS != "linux" {
		release()
		return func() {}, nil
	}
	return release, nil
}
