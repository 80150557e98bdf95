// Package sock binds, names, inherits, quiesces and closes listening sockets.
//
// A listening socket is shared here: its owner binds it and keeps a descriptor
// of it, and several processes inherit descriptors of the same open file
// description and accept from one queue. So a Listener, the owner's side,
// never accepts and is never registered with a poller (a registered one would
// wake its process for every connection), and the functions on net.Listener,
// for the processes that do accept, leave alone what all holders share: nobody
// calls shutdown(2) but Listener.Refuse, and nobody makes the description
// blocking.
//
// A socket is closed without losing a client in three steps: Quiesce makes the
// kernel take no new connection, the holders accept until the queue is Empty,
// then all Close. The kernel part of this exists on Linux alone; elsewhere
// those calls return errors.ErrUnsupported and a close may reset clients that
// have just connected.
package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Options are the properties of a socket beyond its address. The zero value is
// what most want.
type Options struct {
	// Mode is the permission of a unix socket's path, whatever the umask says;
	// 0 means 0666 less the umask. Other networks ignore it.
	Mode os.FileMode
	// MPTCP listens for multipath TCP where the kernel has it. Such a socket
	// cannot have its newcomers dropped, only refused, so it is off where Go's
	// own default is on.
	MPTCP bool
	// NoWait has a unix path in a directory where somebody else is just binding
	// one refused, where otherwise half a second is waited for him.
	NoWait bool

	join bool // there is a socket at the address that lets it, see Listener.Join
}

// ErrNotEmpty is returned by Refuse while somebody waits in the queue.
var ErrNotEmpty = errors.New("connections wait in the queue")

// A Listener is the owner's descriptor of a bound listening socket: not for
// accepting, close-on-exec, nonblocking, known to no poller. Its methods may
// be called from any goroutine.
type Listener struct {
	address Address
	inode   uint64 // the socket's number in /proc, for Accepting
	path    *boundPath

	mu      sync.Mutex
	fd      int // -1 once closed
	refused bool
}

// Listen binds a and listens, with SO_REUSEADDR and the system's longest
// queue. A port 0 is resolved, see Address. An address in use is an error that
// is syscall.EADDRINUSE and names, where it can be seen, the process that
// holds it. A unix path at which nobody listens any more is replaced; one that
// is not a socket, or where something may still answer, is an error.
func Listen(a Address, o Options) (*Listener, error) {
	l, path, err := bind(a, o)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	// The Go listener has served its purpose, to apply net's rules for names
	// and address families. Closing it takes the socket out of the poller.
	defer l.Close()
	out := &Listener{address: resolved(a, l), path: path, fd: -1}
	err = control(l, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		out.inode = st.Ino
		out.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		return os.NewSyscallError("dup", err)
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, errors.Join(err, path.remove()))
	}
	return out, nil
}

// resolved returns the address l is bound to; a unix path stays as given.
func resolved(a Address, l net.Listener) Address {
	if a.Network != "unix" {
		a.Address = l.Addr().String()
	}
	return a
}

// FD returns the descriptor, to be passed to a child while the Listener is
// open; -1 once it is closed. It must not be wrapped in an os.File, which
// would own it, nor be made blocking.
func (l *Listener) FD() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fd
}

// Address returns the address with its port resolved; it stays after Close.
func (l *Listener) Address() Address { return l.address }

// Quiesce makes the kernel take no new connection on the socket, for all its
// holders and for good, while those already begun come into the queue and can
// be accepted. On TCP newcomers get no answer until the last holder has closed
// the socket or Refuse; then they are refused, or reach a successor. Where the
// kernel wants CAP_NET_ADMIN for that, and this process has not got it, they are
// refused at once, as they are with MPTCP, and at a unix path, which is gone. An
// abstract name and other systems give errors.ErrUnsupported; os.ErrPermission is
// for a socket that somebody else has bound to a network device. It may be repeated.
func (l *Listener) Quiesce() error {
	return l.locked("quiesce", func() error {
		if l.address.Network == "unix" {
			return unlinkForGood(l.path)
		}
		return turnAway(l.fd)
	})
}

// Queued returns how many connections wait to be accepted. On a unix socket,
// and on systems other than Linux, 1 stands for any number.
func (l *Listener) Queued() (int, error) {
	n := 0
	err := l.locked("count queue of", func() (err error) {
		n, err = l.queued()
		return err
	})
	return n, err
}

// Empty reports whether nobody waits to be accepted and, on TCP where the
// kernel shows it, no handshake with the port is under way either. On a
// quiesced TCP socket true is final; at a unix path a client may be held up
// between finding the path and joining the queue, for microseconds. A peer that vanished in the middle of its
// handshake holds it at false for up to a minute, so bound the wait.
func (l *Listener) Empty() (bool, error) {
	empty := false
	err := l.locked("look into queue of", func() (err error) {
		empty, err = l.empty()
		return err
	})
	return empty, err
}

func (l *Listener) empty() (bool, error) {
	// In this order: a handshake that ends between the two questions shows up
	// in the queue; the other way round it would show up nowhere.
	if l.address.Network != "unix" && !l.refused && halfOpen(l.address.Address) {
		return false, nil
	}
	n, err := l.queued()
	return n == 0, err
}

func (l *Listener) queued() (int, error) {
	if l.refused { // a socket shut down polls readable for ever
		return 0, nil
	}
	return queueLength(l.fd, l.address.Network)
}

// RefuseNewcomers has newcomers refused, and leaves all else as it is for holders
// that keep their descriptors: they go on accepting whoever is in the queue. A
// port stays taken until the last of them closes, but for a Listen by this user.
// It is for good, as Quiesce. An abstract name, and a kernel that cannot do it
// (Linux before 5.7, another system), give an error, and Refuse is left. It may be
// repeated.
func (l *Listener) RefuseNewcomers() error {
	return l.locked("refuse newcomers on", func() error {
		if l.address.Network == "unix" {
			return unlinkForGood(l.path)
		}
		if err := refuseNewcomers(l.fd); err != nil {
			return err
		}
		return letJoin(l.fd)
	})
}

// Refuse ends listening for all holders at once, for those that keep their
// descriptors where there is no RefuseNewcomers: newcomers are refused, a
// successor can bind, and an accept returns EINVAL, so tell the holders to stop
// before. It would reset everybody in the queue, so it returns ErrNotEmpty unless
// Empty. Quiesce first: else a client may slip in between. Other systems than
// Linux give errors.ErrUnsupported. It may be repeated.
func (l *Listener) Refuse() error {
	return l.locked("refuse on", func() error {
		if l.refused {
			return nil
		}
		if empty, err := l.empty(); err != nil {
			return err
		} else if !empty {
			return ErrNotEmpty
		}
		if err := stopListening(l.fd); err != nil {
			return err
		}
		l.refused = true
		return nil
	})
}

// Close closes this descriptor, and no other holder's, and removes a unix path
// that this Listener made and that is still its own. The first call does it
// all; later ones return nil.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return nil
	}
	// The path first: while the socket is open no other file can get the
	// number by which the path is known to be ours.
	err := errors.Join(l.path.remove(), os.NewSyscallError("close", unix.Close(l.fd)))
	l.fd = -1
	if err != nil {
		return fmt.Errorf("close %s: %w", l.address, err)
	}
	return nil
}

func (l *Listener) locked(verb string, do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := net.ErrClosed
	if l.fd >= 0 {
		err = do()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, l.address, err)
	}
	return nil
}

// bind makes the listening socket of a. The path is nil but for a unix socket
// with a path.
func bind(a Address, o Options) (net.Listener, *boundPath, error) {
	switch {
	case a.Network == "unix" && !strings.HasPrefix(a.Address, "@"):
		return bindPath(a.Address, o)
	case a == Address{}:
		return nil, nil, errors.New("no address")
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(o.MPTCP)
	if o.join {
		lc.Control = func(_, _ string, raw syscall.RawConn) error { return controlRaw(raw, letJoin) }
	}
	l, err := lc.Listen(context.Background(), a.Network, a.Address)
	if errors.Is(err, syscall.EADDRINUSE) && !o.join {
		if next, e := succeed(a, o); e == nil {
			return next, nil, nil
		}
		return nil, nil, inUse(a, err)
	}
	return l, nil, bare(err)
}

// bare takes off the wrapping in which net repeats the address.
func bare(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// inUse names the holder of a, if it can be seen.
func inUse(a Address, err error) error {
	if who := holder(a); who != "" {
		return fmt.Errorf("%w, by %s", bare(err), who)
	}
	return bare(err)
}

// control runs do on the descriptor of a net listener, which stays open and as
// it is for the time.
func control(l net.Listener, do func(fd int) error) error {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T has no descriptor: %w", l, errors.ErrUnsupported)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return bare(err)
	}
	return controlRaw(raw, do)
}

func controlRaw(raw syscall.RawConn, do func(fd int) error) error {
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return bare(err)
	}
	return inner
}

// readable returns 1 if an accept would find somebody, else 0.
func readable(fd int) (int, error) {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(p, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, os.NewSyscallError("poll", err)
		case p[0].Revents&unix.POLLIN != 0:
			return 1, nil
		}
		return 0, nil
	}
}
