package sock

import (
	"errors"
	"fmt"
)

// Join opens one more socket at the address of l, with a queue of its own,
// between which the kernel divides newcomers. It lets other processes of this
// user join too from then on; before, none could, so that an address in use
// is found out by the first Listen. It is for plain TCP on Linux; elsewhere it
// gives errors.ErrUnsupported.
func (l *Listener) Join() (*Listener, error) {
	var out *Listener
	err := l.locked("join", func() error {
		if l.address.Network == "unix" {
			return errors.ErrUnsupported
		}
		err := letJoin(l.fd)
		if err == nil {
			out, err = Listen(l.address, Options{join: true})
		}
		return err
	})
	return out, err
}

// A handshake is who it is between, on which device, and the kernel's cookie for
// it: a struct inet_diag_sockid.
type handshake [48]byte

// A Remainder is those whose connections to a socket had begun when it was
// quiesced. It is one goroutine's.
type Remainder struct {
	l    *Listener
	open map[handshake]bool
}

// QuiesceOne is Quiesce for a socket among others at its address, which others
// join all the time. To be called when newcomers are steered away from it. It
// waits for some milliseconds, so that who was on the way to the socket before
// is in the Remainder.
func (l *Listener) QuiesceOne() (*Remainder, error) {
	awaitSoftirqs() // else who chose this socket a moment ago would be dropped, and try again after a second
	if err := l.Quiesce(); err != nil {
		return nil, err
	}
	return &Remainder{l, handshakes(l.address.Address)}, nil
}

// Unquiesce takes back a Quiesce of a TCP socket: newcomers come again. It may be
// called of one that is not quiesced. Where there is no Quiesce it does nothing;
// os.ErrPermission is for a socket that an ordinary user has quiesced, for good.
func (l *Listener) Unquiesce() error {
	return l.locked("unquiesce", func() error { return passNewcomers(l.fd) })
}

// Empty reports whether all of them have been accepted from the socket, or
// have given up. True is final. A peer that vanished in the middle of its
// handshake holds it at false for up to a minute, so bound the wait.
func (r *Remainder) Empty() (bool, error) {
	if len(r.open) > 0 {
		// Handshakes do not say whose they are; but of those that have begun
		// since none is this socket's.
		now := handshakes(r.l.address.Address)
		for h := range r.open {
			if now[h] {
				return false, nil
			}
		}
		awaitSoftirqs() // between the two lists it is in neither
		r.open = nil
	}
	n, err := r.l.Queued()
	return n == 0, err
}

// Shut ends listening for all holders at once, whoever is in the queue: those
// are reset. It is for a socket from which nobody will accept any more.
func (l *Listener) Shut() error {
	return l.locked("shut", func() error {
		if l.refused {
			return nil
		}
		if err := stopListening(l.fd); err != nil {
			return fmt.Errorf("stop listening: %w", err)
		}
		l.refused = true
		return nil
	})
}
