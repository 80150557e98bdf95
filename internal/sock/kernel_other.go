//go:build !linux

package sock

import (
	"errors"
	"net"
	"os"
	"time"
)

func turnAway(int) error { return errors.ErrUnsupported }

func refuseNewcomers(int) error { return errors.ErrUnsupported }

func passNewcomers(int) error { return nil }

func stopListening(int) error { return errors.ErrUnsupported }

func queueLength(fd int, _ string) (int, error) { return readable(fd) }

// halfOpen: handshakes under way cannot be seen here.
func halfOpen(string) bool { return false }

func letJoin(int) error { return errors.ErrUnsupported }

func succeed(Address, Options) (net.Listener, error) { return nil, errors.ErrUnsupported }

func handshakes(string) map[handshake]bool { return nil }

func awaitSoftirqs() {}

// limitMode cannot be done here: the mode is set after the bind.
func limitMode(int, os.FileMode) error { return nil }

func peer(net.Conn) string { return "" }

func holder(Address) string { return "" }

// acceptQueued has to wait for a moment: there is no accept4 here, and the
// plain accept leaves a descriptor open to a fork.
func acceptQueued(l net.Listener) (net.Conn, error) {
	d, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return nil, errors.ErrUnsupported
	}
	if err := d.SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return nil, err
	}
	c, err := l.Accept()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, nil
	}
	return c, err
}

// Accepting cannot tell here.
func Accepting(int, *Listener) Sight { return Unseen }

// Elsewhere cannot tell here.
func Elsewhere(int, []*Listener) []string { return nil }
