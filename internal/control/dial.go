package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// ErrNotRunning says that no supervisor answers: there is no socket, or one
// that nobody listens on.
var ErrNotRunning = errors.New("no supervisor is running")

// dialTimeout bounds a connect, which on a unix socket only waits when the
// queue of a listener that does not accept is full.
const dialTimeout = 2 * time.Second

// dial connects to the socket and checks who listens on it.
func dial(ctx context.Context, path string) (*net.UnixConn, int, error) {
	if err := checkPath(path); err != nil {
		return nil, 0, err
	}
	c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, 0, fmt.Errorf("%w: nobody answers at %s", ErrNotRunning, path)
	case err != nil:
		return nil, 0, fmt.Errorf("connect to supervisor: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, 0, fmt.Errorf("connect to supervisor: %s gave a %T", path, c)
	}
	uid, pid, err := peer(u)
	if err == nil && !mayAnswer(uid) {
		err = fmt.Errorf("%s is served by user %d, who is neither we nor root", path, uid)
	}
	if err != nil {
		u.Close()
		return nil, 0, fmt.Errorf("connect to supervisor: %w", err)
	}
	return u, pid, nil
}

// answers says whether somebody listens on the socket, and as which process.
// A supervisor that is alive but hangs answers too: the kernel does it for it.
func answers(path string) (pid int, err error) {
	c, pid, err := dial(context.Background(), path)
	if err != nil {
		return 0, err
	}
	return pid, c.Close()
}

// mayCommand says whether a client of that user is served: we ourselves, root.
func mayCommand(uid int) bool { return uid == os.Geteuid() || uid == 0 }

// mayAnswer says whether a server of that user is believed. To root any is: it
// was pointed at some user's supervisor.
func mayAnswer(uid int) bool { return mayCommand(uid) || os.Geteuid() == 0 }

// checkPath refuses what the kernel cannot bind, with words in place of its
// "invalid argument", and abstract names, which no file mode protects.
func checkPath(path string) error {
	limit := len(syscall.RawSockaddrUnix{}.Path) - 1
	switch {
	case path == "":
		return errors.New("control socket: its path is empty")
	case strings.HasPrefix(path, "@"), strings.ContainsRune(path, 0):
		return fmt.Errorf("control socket: %q is not a path in the file system", path)
	case len(path) > limit:
		return fmt.Errorf("control socket: path is %d bytes long and can be %d: %s; give a shorter --socket", len(path), limit, path)
	}
	return nil
}
