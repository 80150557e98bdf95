package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signal sends sig to the process itself, through its pidfd: it can never hit
// another one. It returns os.ErrProcessDone if the process was reaped, and an
// error that wraps os.ErrClosed after Children.Close. nil says that the signal
// was sent, not that it had an effect. It does not wait.
func (p *Process) Signal(sig syscall.Signal) error {
	p.sent(sig) // before: the exec may come in between
	var err error
	if p.handle.conn.Control(func(fd uintptr) {
		err = unix.PidfdSendSignal(int(fd), sig, nil, 0)
	}) != nil {
		err = os.ErrClosed
	}
	return p.signalled(sig, err, p.exited)
}

// SignalGroup sends sig to every process in the group; with Spec.Terminal, or
// if the leader has moved itself elsewhere and left no one, to the leader
// alone. It returns os.ErrProcessDone once Gone is closed, and otherwise what
// Signal does. Members that a setuid program has become are left out silently,
// unless all are.
//
// It cannot hit another group. While the leader is not reaped, the number is
// taken by it; then, while there are members, by them. From Linux 6.9 on the
// group is named through the leader's pidfd, which is exact for ever. Before,
// it is named by number, and the lock keeps the last member from being reaped
// by us in between. What remains there is a last member that some process
// outside the group has reaped, and a wrap of all pids within the 100 ms until
// sweep notices.
func (p *Process) SignalGroup(sig syscall.Signal) error {
	if !p.group {
		return p.Signal(sig)
	}
	p.sent(sig)
	p.children.mu.Lock()
	defer p.children.mu.Unlock()
	err := p.sendGroup(sig)
	if err == syscall.ESRCH && !p.reaped {
		return p.Signal(sig)
	}
	return p.signalled(sig, err, p.gone)
}

// Pidfd calls f with the pidfd of the process, which is open while f runs: for
// handing it to another process. It returns an error that wraps os.ErrClosed,
// and does not call f, once the process is gone or Children is closed.
func (p *Process) Pidfd(f func(fd int)) error {
	if p.handle.conn.Control(func(fd uintptr) { f(int(fd)) }) != nil {
		return fmt.Errorf("use pidfd of process %d: %w", p.pid, os.ErrClosed)
	}
	return nil
}

// SignalGroup sends sig to the process group that the process of pidfd leads,
// and has the number pgid; it is for processes that others have started. sig 0
// only looks. It returns os.ErrProcessDone if no member is left, dead or alive.
//
// It cannot hit another group. Before Linux 6.9 a group can be named by its
// number alone, which is not known to be the same one once the leader has been
// reaped: from then on no member is reached, and os.ErrProcessDone is returned.
func SignalGroup(pidfd, pgid int, sig syscall.Signal) error {
	err := unix.PidfdSendSignal(pidfd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if err == syscall.EINVAL {
		if err = unix.PidfdSendSignal(pidfd, 0, nil, 0); err == nil {
			err = unix.Kill(-pgid, sig)
		}
	}
	switch err {
	case nil:
		return nil
	case syscall.ESRCH:
		return os.ErrProcessDone
	}
	return fmt.Errorf("send %s to group %d: %w", unix.SignalName(sig), pgid, err)
}

// signalled makes the error of a caller from that of the kernel or the file.
func (p *Process) signalled(sig syscall.Signal, err error, done <-chan struct{}) error {
	if err == nil {
		return nil
	}
	select {
	case <-done:
		return os.ErrProcessDone // whatever the error: the pidfd may be closed
	default:
	}
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), p.pid, err)
}

// groupEmpty reports whether no member is left, dead or alive. children.mu is
// held.
func (p *Process) groupEmpty() bool { return p.sendGroup(0) == syscall.ESRCH }

func (p *Process) sendGroup(sig syscall.Signal) error {
	var err error
	if p.handle.conn.Control(func(fd uintptr) {
		err = sendGroup(int(fd), p.pid, sig, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	}) != nil {
		err = os.ErrClosed
	}
	return err
}

// sendGroup signals a group by pidfd, or by number if the kernel does not know
// the flag. An invalid signal is EINVAL both ways.
func sendGroup(pidfd, pgid int, sig syscall.Signal, flag int) error {
	err := unix.PidfdSendSignal(pidfd, sig, nil, flag)
	if err == syscall.EINVAL {
		return unix.Kill(-pgid, sig)
	}
	return err
}
