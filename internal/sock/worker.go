package sock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
)

// Open listens on a for a process that has no owner above it and accepts
// itself: by the rules of Listen, and plain TCP, so that it can be quiesced.
// Closing a listener at a unix path removes the path, unless it is somebody
// else's by now; such a listener is not a *net.UnixListener but has all its
// methods.
func Open(a Address) (net.Listener, error) {
	l, path, err := bind(a, Options{})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	if path != nil {
		return &pathListener{UnixListener: l.(*net.UnixListener), path: path}, nil
	}
	return l, nil
}

// A pathListener owns the path of its socket.
type pathListener struct {
	*net.UnixListener
	path   *boundPath
	remove sync.Once // after the close the file's number may be another's
}

func (l *pathListener) Close() error {
	var err error
	l.remove.Do(func() { err = l.path.remove() }) // first, as in Listener.Close
	return errors.Join(l.UnixListener.Close(), err)
}

// Inherit takes over the descriptor of a listening socket, which it closes,
// also on error: the listener has one of its own, close-on-exec. The shared
// description is made nonblocking if it was not, and is never blocking in
// between. Closing the listener removes no path: that is its owner's.
func Inherit(fd int) (net.Listener, error) {
	// An os.File made of a nonblocking descriptor leaves it so, and one made
	// of a blocking descriptor leaves it to net to change that. It is asked
	// for nothing else: File.Fd of one that net itself made would flip it.
	f := os.NewFile(uintptr(fd), "listener")
	if f == nil {
		return nil, fmt.Errorf("inherit descriptor %d: %w", fd, syscall.EBADF)
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("inherit descriptor %d: %w", fd, bare(err))
	}
	return l, nil
}

// QuiesceListener is Listener.Quiesce for a net listener. It is for the only
// holder of a socket: where there is an owner, quiescing is the owner's, and
// the path of an inherited unix socket gives errors.ErrUnsupported. It does
// not disturb an Accept that waits.
func QuiesceListener(l net.Listener) error {
	var err error
	switch l := l.(type) {
	case *pathListener:
		err = unlinkForGood(l.path)
	case *net.UnixListener:
		err = unlinkForGood(nil)
	default:
		err = control(l, turnAway)
	}
	if err != nil {
		return fmt.Errorf("quiesce %s: %w", l.Addr(), err)
	}
	return nil
}

// ListenerEmpty is Listener.Empty for a net listener, for a holder that must
// not close before the last handshake has come into the queue.
func ListenerEmpty(l net.Listener) (bool, error) {
	network := l.Addr().Network()
	if network != "unix" && halfOpen(l.Addr().String()) {
		return false, nil
	}
	n := 0
	err := control(l, func(fd int) (err error) {
		n, err = queueLength(fd, network)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look into queue of %s: %w", l.Addr(), err)
	}
	return n == 0, nil
}

// AcceptQueued returns a connection that waits in the queue, and (nil, nil)
// when none does: it never waits itself, and works though the listener's
// deadline has passed. Clients that have given up are passed over. An error
// says nothing about the queue: with EMFILE, say, it can be tried again.
// Several goroutines, and an Accept, may take from the same listener.
func AcceptQueued(l net.Listener) (net.Conn, error) {
	c, err := acceptQueued(l)
	if err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.Addr(), err)
	}
	return c, nil
}
