package guard

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Handover is a guard as it is handed to another executable that takes the
// place of this one, and starts a guard of its own.
type Handover struct {
	Pidfd, Link int // descriptors; -1: there is no guard
}

// HandOver returns what Retire needs. The guard guards on, with what it has
// been told and still is; it is not replaced any more if it dies. An error means
// that there are no descriptors for it, and that nothing has changed.
func (g *Guard) HandOver() (Handover, error) {
	if g == nil {
		return Handover{-1, -1}, nil
	}
	close(g.quit)
	g.running.Wait()
	h, err := g.handOver()
	if err != nil {
		g.TakeBack(h)
		return Handover{-1, -1}, fmt.Errorf("hand over guard: %w", err)
	}
	return h, nil
}

func (g *Guard) handOver() (Handover, error) {
	h := Handover{-1, -1}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process == nil {
		return h, nil
	}
	var err error
	dead := g.process.Pidfd(func(fd int) { h.Pidfd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) })
	if dead != nil || err != nil {
		return h, err
	}
	link, err := g.link.SyscallConn()
	if err != nil {
		return h, err
	}
	closed := link.Control(func(fd uintptr) { h.Link, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) })
	return h, errors.Join(closed, err)
}

// TakeBack undoes HandOver, while this process still watches its children: the
// guard is kept, and replaced if it dies.
func (g *Guard) TakeBack(h Handover) {
	if g == nil {
		return
	}
	for _, fd := range []int{h.Pidfd, h.Link} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	g.quit = make(chan struct{})
	g.running.Add(1)
	go g.keep()
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
