//go:build !linux

package proc

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lingerInterval is how often a group without its leader is looked at.
const lingerInterval = 100 * time.Millisecond

// handle is empty: there is nothing but the pid.
type handle struct{}

// NewChildren returns an empty set of processes. Orphans are left to init.
func NewChildren() (*Children, error) {
	return &Children{started: make(map[int]*Process), quit: make(chan struct{})}, nil
}

// Close stops the watching of groups. No process is touched; the goroutine of
// each that lives stays until it ends. The error is always nil; a second Close
// does nothing.
func (c *Children) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.quit)
	}
	return nil
}

// fork starts the shim.
func (p *Process) fork(shim string, args []string, attr *syscall.ProcAttr) error {
	pid, err := syscall.ForkExec(shim, args, attr)
	if err != nil {
		return err
	}
	p.pid = pid
	return nil
}

// await blocks a thread until the leader has ended, and then looks at its
// group until it is empty.
func (c *Children) await(p *Process) {
	defer c.running.Done()
	exit, _ := reapPid(p.pid, 0)
	c.mu.Lock()
	p.end(exit)
	gone := c.settle(p)
	c.mu.Unlock()
	tick := time.NewTicker(lingerInterval)
	defer tick.Stop()
	for !gone {
		select {
		case <-c.quit:
			return
		case <-tick.C:
		}
		c.mu.Lock()
		gone = c.settle(p)
		c.mu.Unlock()
	}
}

// Signal sends sig to the process itself, by pid. It returns os.ErrProcessDone
// once Exited is closed. Between the reaping and the closing, an instant, it
// could hit a recycled pid.
func (p *Process) Signal(sig syscall.Signal) error {
	p.children.mu.Lock()
	defer p.children.mu.Unlock()
	return p.signalLeader(sig)
}

// SignalGroup sends sig to every process in the group; with Spec.Terminal to
// the process alone. It returns os.ErrProcessDone once Gone is closed.
func (p *Process) SignalGroup(sig syscall.Signal) error {
	p.children.mu.Lock()
	defer p.children.mu.Unlock()
	if !p.group {
		return p.signalLeader(sig)
	}
	select {
	case <-p.gone:
		return os.ErrProcessDone
	default:
	}
	err := unix.Kill(-p.pid, sig)
	if err == syscall.ESRCH {
		return p.signalLeader(sig)
	}
	return p.signalled(sig, err)
}

func (p *Process) signalLeader(sig syscall.Signal) error {
	if p.reaped {
		return os.ErrProcessDone
	}
	return p.signalled(sig, unix.Kill(p.pid, sig))
}

func (p *Process) signalled(sig syscall.Signal, err error) error {
	switch err {
	case nil:
		p.sent(sig)
		return nil
	case syscall.ESRCH:
		return os.ErrProcessDone
	default:
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), p.pid, err)
	}
}

// groupEmpty reports whether no member is left. children.mu is held.
func (p *Process) groupEmpty() bool { return unix.Kill(-p.pid, 0) == syscall.ESRCH }
