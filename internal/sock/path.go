package sock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A boundPath is the file of a unix socket that this process bound, known by
// its inode: a path says nothing about who bound it last. The number cannot be
// used again while the socket is open. nil is a socket without a file.
type boundPath struct {
	path string // absolute, so that a change of directory cannot mislead it
	file fs.FileInfo
}

// bindPath listens at a path. From the moment it exists the socket's file is
// never more open than the mode of o.
func bindPath(path string, o Options) (net.Listener, *boundPath, error) {
	mode := o.Mode
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	// From the question who listens there to the answer being ourselves: two
	// that start together would else each find the other's socket stale.
	unlock, err := lockDir(filepath.Dir(abs), o.NoWait)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if err := clearStale(path); err != nil {
		return nil, nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) { inner = limitMode(int(fd), cmp.Or(mode, 0o666)) })
		return errors.Join(err, inner)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, nil, bare(err)
	}
	// Go's own unlinking would take a successor's file for ours.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if mode != 0 { // give back what the umask took
		err = os.Chmod(path, mode.Perm())
	}
	file, err2 := os.Lstat(abs)
	if err := errors.Join(err, err2); err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, &boundPath{path: abs, file: file}, nil
}

// clearStale removes a socket at which nobody listens, and objects to
// everything else that is in the way.
func clearStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().Type() != fs.ModeSocket {
		return errors.New("a file that is not a socket is in the way")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its owner has just removed it
	}
	if err == nil {
		who := peer(c)
		c.Close()
		return fmt.Errorf("%w, something answers there%s", syscall.EADDRINUSE, who)
	}
	// Only this error says that nobody listens. EAGAIN is a full queue, EACCES
	// somebody else's socket, EPROTOTYPE a socket of another type.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w, and nobody can say by whom: %w", syscall.EADDRINUSE, bare(err))
	}
	return removeFile(path)
}

// remove removes the path if it is still the file that was bound here.
//
// It needs no lock, for which whoever closes a socket would have to wait: a
// socket that is open answers, and nobody takes it for stale between the look and
// the removal. One that has been made to refuse has lost its path before, when it
// was quiesced.
func (b *boundPath) remove() error {
	if ours, err := b.ours(); !ours {
		return err
	}
	return removeFile(b.path)
}

// ours tells whether the path is still the file that was bound here.
func (b *boundPath) ours() (bool, error) {
	if b == nil {
		return false, nil
	}
	now, err := os.Lstat(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(now, b.file), err
}

// removeFile removes a file that somebody else may remove, too.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// unlinkForGood quiesces a unix socket. Shutting it down for reading would
// close even the gap of a client between finding the path and joining the
// queue, and lose nobody; but the accept of every other holder would fail from
// then on, long before it is told to stop.
func unlinkForGood(b *boundPath) error {
	if b == nil {
		return fmt.Errorf("there is no path to remove: %w", errors.ErrUnsupported)
	}
	return b.remove()
}

// errLocked is the answer to a caller that does not wait for the lock.
var errLocked = errors.New("another process is binding a socket in this directory; try again")

// lockDir locks a directory against other users of this package and returns
// the unlocking. It leaves no file behind, as a lock file would. A lock that
// is not to be had within half a second, from a file system without locks or
// from somebody who sits on it, is done without: it closes a race that needs
// two starts within microseconds, and must not become a way to block one. With
// noWait one that is held is an error, at once.
func lockDir(dir string, noWait bool) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}, nil // what follows says why, if it matters
	}
	for range 100 {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == unix.EINTR:
			continue
		case err != unix.EWOULDBLOCK:
			return func() { unix.Close(fd) }, nil
		case noWait:
			unix.Close(fd)
			return nil, errLocked
		}
		time.Sleep(5 * time.Millisecond)
	}
	return func() { unix.Close(fd) }, nil
}
