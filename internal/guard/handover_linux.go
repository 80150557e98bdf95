package guard

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A Handover is a guard as it is handed to another executable that takes the
// place of this one, and starts a guard of its own.
type Handover struct {
	Pidfd, Link int // descriptors; -1: there is no guard
}

// HandOver returns what Retire needs. The guard guards on, with what it has
// been told and still is; it is not replaced any more if it dies.
func (g *Guard) HandOver() (Handover, error) {
	h := Handover{-1, -1}
	if g == nil {
		return h, nil
	}
	close(g.quit)
	g.running.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process == nil {
		return h, nil
	}
	err := g.process.Pidfd(func(fd int) { h.Pidfd, _ = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) })
	if err != nil || h.Pidfd < 0 {
		return h, nil // it has died
	}
	link, err := g.link.SyscallConn()
	if err == nil {
		err = link.Control(func(fd uintptr) { h.Link, _ = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) })
	}
	if err != nil {
		return h, fmt.Errorf("hand over guard: %w", err)
	}
	// The copy holds the link open. This end of it is nobody's from here on.
	_ = g.link.Close()
	g.process, g.link = nil, nil
	return h, nil
}

// Retire ends a guard that was handed over, when its successor knows all that
// it knew: it must be dead before its link is closed.
func Retire(h Handover) {
	if h.Pidfd >= 0 {
		_ = unix.PidfdSendSignal(h.Pidfd, unix.SIGKILL, nil, 0) // it may have died
		dead := []unix.PollFd{{Fd: int32(h.Pidfd), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(dead, -1); err != unix.EINTR {
				break
			}
		}
		_ = unix.Close(h.Pidfd)
	}
	if h.Link >= 0 {
		_ = unix.Close(h.Link)
	}
}
