package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// InUse is the error of Listen where another process answers already. PID is 0
// when it cannot be known.
type InUse struct {
	Path string
	PID  int
}

func (e *InUse) Error() string {
	pid := ""
	if e.PID > 0 {
		pid = fmt.Sprintf(" (pid %d)", e.PID)
	}
	return fmt.Sprintf("a supervisor already runs here: %s answers%s; stop it with \"lastcall stop --socket %s\", or give this one another --socket",
		e.Path, pid, e.Path)
}

// A Server is the supervisor's end of a control socket. It is made by Listen.
type Server struct {
	path     string
	listener *net.UnixListener
	created  os.FileInfo // of the socket, to unlink that one only
	http     *http.Server
	account  account
	once     sync.Once // of Close
	closed   error     // what it returned
}

// Listen makes the control socket at path, mode 0600, and its directory, mode
// 0700, where that is missing. A socket that nobody listens on is replaced; one
// that answers is left alone, and the error is an *InUse; anything else found
// there is left alone too. Of several that Listen at once one succeeds. Clients
// that connect before Serve is called wait for it.
func Listen(path string) (*Server, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("make directory of control socket: %w; choose another place by --socket", err)
	}
	unlock, err := lock(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("lock control socket: %w; choose another place by --socket", err)
	}
	defer unlock()
	if err := makeWay(path); err != nil {
		return nil, err
	}
	listener, err := bind(path)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket: %w", err)
	}
	created, err := os.Lstat(path)
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("listen on control socket: %w", err)
	}
	return newServer(path, listener, created), nil
}

// makeDir accepts a directory that is there as it is, unless it is one of
// those this package makes itself.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, own := range ownDirs() {
		if filepath.Clean(dir) == own {
			return checkPrivate(dir)
		}
	}
	return nil
}

// makeWay clears the place for a new socket at path, or says what stands in it.
func makeWay(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at control socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("control socket: %s exists and is not a socket; give another --socket", path)
	}
	pid, err := answers(path)
	switch {
	case err == nil:
		return &InUse{Path: path, PID: pid}
	case errors.Is(err, ErrNotRunning):
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove stale control socket: %w", err)
		}
		return nil
	}
	// A full queue, another user's socket, one of another type: whatever it
	// is, it has not been shown to be dead.
	return fmt.Errorf("control socket: %s may be in use; give another --socket: %w", path, err)
}

func bind(path string) (*net.UnixListener, error) {
	l, err := (&net.ListenConfig{Control: bornPrivate}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("%s gave a %T", path, l)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		u.Close()
		return nil, err
	}
	u.SetUnlinkOnClose(false) // Close does it, under the lock
	return u, nil
}

// bornPrivate sets the mode of a socket before it is bound. On Linux that is
// the mode its file is born with: there is no moment in which others may
// connect, as there is with chmod alone, and no umask to set for the whole
// process. Elsewhere it fails, and chmod and the directory have to do.
func bornPrivate(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
}

// lock takes the lock file beside the socket, which makes looking for a live
// socket and replacing a dead one a single step. It is held for moments only:
// it is the socket that says who is alive, and a lock held for life would be
// one more thing to hand on when a supervisor replaces its own executable.
func lock(path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(f); err != nil {
			f.Close()
			return nil, err
		}
		held, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		// Its last holder removed the file: a lock on that is worth nothing.
		if now, err := os.Lstat(path); err != nil || !os.SameFile(held, now) {
			f.Close()
			continue
		}
		return func() { os.Remove(path); f.Close() }, nil
	}
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// closeTimeout bounds the wait for answers that are being written.
const closeTimeout = 2 * time.Second

// Close unlinks the socket, if it is still the one that Listen made, lets
// answers under way be written for up to 2 seconds, and makes Serve return.
// It may be called from any goroutine, before Serve too; again it does nothing
// and returns the same.
func (s *Server) Close() error {
	s.once.Do(func() {
		// The path is freed first, and while our inode is still in use: the
		// file system cannot have given its number to a successor's socket.
		err := s.unlink()
		s.Release()
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			s.http.Close()
		}
		if e := s.listener.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, fmt.Errorf("close control socket: %w", e))
		}
		s.closed = err
	})
	return s.closed
}

func (s *Server) unlink() error {
	unlock, err := lock(s.path + ".lock")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil // the directory is gone, and the socket with it
		}
		return fmt.Errorf("lock control socket: %w; choose another place by --socket", err)
	}
	defer unlock()
	now, err := os.Lstat(s.path)
	if err != nil || !os.SameFile(now, s.created) {
		return nil
	}
	if err := os.Remove(s.path); err != nil {
		return fmt.Errorf("remove control socket: %w", err)
	}
	return nil
}
