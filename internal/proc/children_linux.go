package proc

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handle is the pidfd of a process: an os.File, so that waiting for it is the
// runtime poller's work and costs no thread, and signalling through it is safe
// against its close.
type handle struct {
	file *os.File
	conn syscall.RawConn
}

// NewChildren makes this process a subreaper, the new parent of every orphan
// among its descendants, and begins to watch for dead children. Its errors
// mean that the kernel is older than Linux 5.4 or denies what is needed.
//
// It takes dead children that nobody in this process waits for; see sweep.
// Children of os/exec keep their status, unless they were put into a group that
// Start has made. Those of bare syscall.ForkExec and of C code do not: nothing
// tells them from an orphan.
func NewChildren() (*Children, error) {
	// Package os must use pidfds too: sweep knows its children by them.
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.WithHandle(func(uintptr) {})
	}
	if err != nil {
		return nil, fmt.Errorf("watch processes: pidfds (Linux 5.4): %w", err)
	}
	if err := self.Release(); err != nil {
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	c := &Children{
		started: make(map[int]*Process),
		quit:    make(chan struct{}),
		kick:    make(chan struct{}, 1),
	}
	c.Spare(childrenOf(os.Getpid()))
	dead := make(chan os.Signal, 1)
	signal.Notify(dead, syscall.SIGCHLD)
	c.running.Add(1)
	go c.watch(dead)
	return c, nil
}

// Close stops the watching and returns when no goroutine of it is left. No
// process is touched: those that live go on, their channels stay open, and
// signals to them return an error that wraps os.ErrClosed. The process stays a
// subreaper, so that an executable it may now change to loses no orphan. The
// error is always nil; a second Close does nothing.
func (c *Children) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.quit)
		for _, p := range c.started {
			// It fails only if the file is closed, and then nobody waits.
			_ = p.handle.file.SetReadDeadline(time.Unix(1, 0))
		}
	}
	c.mu.Unlock()
	c.running.Wait()
	return nil
}

// fork starts the shim. Group and pidfd are made by the fork itself: there is
// no moment at which the child is without them.
func (p *Process) fork(shim string, args []string, attr *syscall.ProcAttr) error {
	fd := -1
	attr.Sys.PidFD = &fd
	pid, err := syscall.ForkExec(shim, args, attr)
	if err != nil {
		return err
	}
	// The flag is what makes NewFile try the poller. It cannot fail on an
	// open descriptor, nor can SyscallConn on an open file.
	_ = syscall.SetNonblock(fd, true)
	p.pid = pid
	p.handle.file = os.NewFile(uintptr(fd), "pidfd")
	p.handle.conn, _ = p.handle.file.SyscallConn()
	return nil
}

// await reaps the leader when it has ended, and owns its pidfd. There is one
// for each process, until it is gone.
func (c *Children) await(p *Process) {
	defer c.running.Done()
	defer p.handle.file.Close()
	err := p.handle.conn.Read(func(uintptr) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if p.reaped { // before it was adopted
			c.settle(p)
			return true
		}
		exit, ended := reapPid(p.pid, syscall.WNOHANG)
		if ended {
			p.end(exit)
			c.settle(p)
		}
		return ended
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return // Close
	}
	if err != nil {
		panic("proc: wait for pidfd: " + err.Error())
	}
	select {
	case c.kick <- struct{}{}: // its zombie may have hidden another: see sweep
	default:
	}
	select {
	case <-p.gone:
	case <-c.quit:
	}
}

// watch sweeps whenever a child has died.
func (c *Children) watch(dead chan os.Signal) {
	defer c.running.Done()
	defer signal.Stop(dead)
	for {
		var again <-chan time.Time
		if d := c.sweep(); d > 0 {
			again = time.After(d)
		}
		select {
		case <-dead:
		case <-c.kick:
		case <-again:
		case <-c.quit:
			return
		}
	}
}
