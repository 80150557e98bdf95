package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Handover is a process as it is handed to another executable that takes the
// place of this one: its children stay its children.
type Handover struct {
	PID    int
	Pidfd  int // a descriptor, close-on-exec until Keep
	Group  bool
	Exited bool // reaped; others of its group live on
	Exit   Exit
	Gone   bool // nobody is left
}

// HandOver ends the watching, as Close does, and returns what Adopt needs to
// go on with the processes, in their order. From then on the kernel keeps their
// statuses. The caller closes the descriptors.
func (c *Children) HandOver(processes []*Process) ([]Handover, error) {
	out := make([]Handover, len(processes))
	for i, p := range processes {
		out[i] = Handover{PID: p.pid, Pidfd: -1, Group: p.group}
		var err error
		// It fails for one that is gone already.
		_ = p.handle.conn.Control(func(fd uintptr) {
			out[i].Pidfd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3)
		})
		if err != nil {
			for _, h := range out[:i] {
				h.release()
			}
			return nil, fmt.Errorf("hand over process %d: %w", p.pid, err)
		}
	}
	_ = c.Close()
	for i, p := range processes {
		out[i].Exited, out[i].Gone = isClosed(p.exited), isClosed(p.gone)
		out[i].Exit = p.Exit()
	}
	return out, nil
}

func (h Handover) release() {
	if h.Pidfd >= 0 {
		_ = unix.Close(h.Pidfd)
	}
}

// Adopt goes on with a process that was handed over, whose descriptor is its
// own from here on. The process must be a child of this one.
func (c *Children) Adopt(h Handover) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.adopt(h)
}

// adopt is Adopt with mu held.
func (c *Children) adopt(h Handover) (*Process, error) {
	p := &Process{
		pid: h.PID, group: h.Group, children: c, execed: true,
		exited: make(chan struct{}), gone: make(chan struct{}),
	}
	if h.Gone { // it may have had none any more
		return adoptGone(p, h)
	}
	unix.CloseOnExec(h.Pidfd)
	if err := unix.SetNonblock(h.Pidfd, true); err != nil {
		return nil, fmt.Errorf("adopt process %d: %w", h.PID, err)
	}
	p.handle.file = os.NewFile(uintptr(h.Pidfd), "pidfd")
	var err error
	if p.handle.conn, err = p.handle.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("adopt process %d: %w", h.PID, err)
	}
	if c.closed {
		return nil, os.ErrClosed
	}
	c.enter(p)
	if h.Exited {
		p.end(h.Exit)
	}
	c.running.Add(1)
	go c.await(p)
	return p, nil
}

// adoptGone makes the Process of one that has ended.
func adoptGone(p *Process, h Handover) (*Process, error) {
	h.release()
	file, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("adopt process %d: %w", h.PID, err)
	}
	p.handle.file = file
	p.handle.conn, _ = file.SyscallConn()
	_ = file.Close() // what is asked of it is answered by its channels
	p.end(h.Exit)
	close(p.gone)
	return p, nil
}
