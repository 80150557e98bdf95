package supervisor

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/wire"
)

// maxSocketPath is the length of the longest path of a socket (unix(7)).
const maxSocketPath = 107

// notifyDir chooses a path for the directory of the notify sockets, and makes
// nothing: the guard must know of it first. systemd removes its
// RUNTIME_DIRECTORY even where it has killed the guard, so that comes first.
// Next to the control socket would be wrong: nobody but the supervisor's own
// user may go there.
func notifyDir() (string, error) {
	runtime, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	var errs []error
	for _, in := range []string{runtime, os.TempDir()} {
		if in == "" {
			continue
		}
		dir := filepath.Join(in, "lastcall-notify-"+secret())
		err := suits(in)
		if longest := filepath.Join(dir, secret()); err == nil && len(longest) > maxSocketPath {
			err = fmt.Errorf("%s is too long for a socket's path", in)
		}
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// secret is a part of a path that cannot be guessed, and is short: 65 bits.
func secret() string { return rand.Text()[:13] }

// suits tells whether a directory for all workers can be made in another. Those
// of root may have other users.
func suits(in string) error {
	if !filepath.IsAbs(in) {
		return fmt.Errorf("%s is not an absolute path", in)
	}
	if err := unix.Access(in, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write to", Path: in, Err: err}
	}
	for at := filepath.Clean(in); os.Geteuid() == 0; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("other users cannot search %s", at)
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	return nil
}

// openNotify makes the notify socket of a life (sd_notify(3)) in the directory,
// and that if it is not there. Each life has its own, so that a datagram needs no
// pid to be told whose it is. It has a path, as systemd's: not every client knows
// abstract names. Without a directory it has an abstract name nevertheless.
func openNotify(id pool.ID, dir string) (datagrams, string, error) {
	if dir == "" {
		return listenNotify(fmt.Sprintf("@lastcall/%s/%d/%s", id.Worker(), id.Life, rand.Text()))
	}
	if err := ensureNotifyDir(dir); err != nil {
		return nil, "", fmt.Errorf("open notify socket: %w", err)
	}
	s, path, err := listenNotify(filepath.Join(dir, secret()))
	if err != nil {
		return nil, "", err
	}
	// As systemd's: a worker may change its user by itself, so it is not known
	// here to whom it should belong.
	if err := os.Chmod(path, 0o666); err != nil {
		s.Close()
		return nil, "", fmt.Errorf("open notify socket: %w", err)
	}
	return s, path, nil
}

// ensureNotifyDir makes the directory, which all may search and only its owner
// may list, if this is the first life or somebody has cleaned up. What is there
// instead of one is not used: by now workers know the name.
func ensureNotifyDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return os.Chmod(dir, 0o711) // whatever the umask
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode()&0o022 != 0 {
		return fmt.Errorf("%s is not the directory that was made", dir)
	}
	return nil
}

func listenNotify(name string) (*notifySocket, string, error) {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		return nil, "", fmt.Errorf("open notify socket: %w", err)
	}
	s, err := newNotifySocket(c, name)
	return s, name, err
}

// A notifySocket is a notify socket that is read a datagram at a time.
type notifySocket struct {
	*net.UnixConn
	raw  syscall.RawConn
	name string
}

// newNotifySocket takes over c, also when it fails.
func newNotifySocket(c *net.UnixConn, name string) (*notifySocket, error) {
	raw, err := c.SyscallConn()
	if err == nil {
		failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = cmp.Or(failed, err)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("open notify socket: %w", err)
	}
	return &notifySocket{c, raw, name}, nil
}

// Receive waits for the next datagram, and returns whole lines of at most
// maxNotify bytes of it: half a number is another number. The descriptors that
// came with it are closed.
func (s *notifySocket) Receive() ([]byte, sender, error) { return receiveNotify(s.raw.Read) }

// Left returns a datagram that is there, as Receive does, whatever the deadline.
func (s *notifySocket) Left() ([]byte, sender, error) {
	return receiveNotify(func(f func(fd uintptr) bool) error {
		return s.raw.Control(func(fd uintptr) { f(fd) })
	})
}

func receiveNotify(read func(func(fd uintptr) bool) error) ([]byte, sender, error) {
	// No more than this, or there would be room for descriptors.
	beside := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	datagram, beside, flags, err := wire.ReadDatagram(read, maxNotify, beside)
	if err != nil {
		return nil, sender{}, err
	}
	if flags&unix.MSG_TRUNC != 0 {
		datagram = datagram[:bytes.LastIndexByte(datagram, '\n')+1]
	}
	return datagram, senderOf(beside), nil
}

// senderOf reads the credentials that came with a datagram. The kernel adds them
// to each, and lets nobody but root choose any that are not his own.
func senderOf(beside []byte) sender {
	list, _ := unix.ParseSocketControlMessage(beside) // what cannot be read has none
	for i := range list {
		if c, err := unix.ParseUnixCredentials(&list[i]); err == nil {
			return sender{user: int(c.Uid), pid: int(c.Pid)}
		}
	}
	return sender{user: noUser}
}

// Close closes the socket, and removes its path. That it is gone is no error.
func (s *notifySocket) Close() error {
	if !strings.HasPrefix(s.name, "@") {
		_ = os.Remove(s.name)
	}
	return s.UnixConn.Close()
}
