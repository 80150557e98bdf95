package lastcall

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall/lastcall/internal/sock"
)

// errListenerDone ends an accept loop. It must not be temporary: net/http tries
// again after a temporary error.
var errListenerDone = errors.New("listener: drained")

// A listener accepts until it is told to stop, then what the kernel has already
// taken for it, and closes.
type listener struct {
	net.Listener // *net.TCPListener, or one with the methods of *net.UnixListener
	name         string
	shared       bool // others hold the socket: it is not ours to quiesce
	kept         bool // and it stays open: what is queued is for who comes next
	wrap         func(net.Conn) net.Conn
	wake         chan<- struct{}
	log          *slog.Logger

	mu      sync.Mutex
	adopted []net.Conn // from siblings, for Accept to return
	woken   bool       // since there were any, by a deadline that is still set

	accepting atomic.Bool // Accept has been called
	stopping  atomic.Pointer[lastAccept]
	done      atomic.Bool
	once      sync.Once
	closeErr  error
}

// A lastAccept is how a listener ends.
type lastAccept struct {
	queued bool      // accept what is queued first
	until  time.Time // but not for longer
}

// queueTimeout bounds the accepting of what is queued: others may hold the
// socket open for newcomers.
const queueTimeout = time.Second

// Accept is called by one goroutine.
func (l *listener) Accept() (net.Conn, error) {
	if l.accepting.CompareAndSwap(false, true) {
		poke(l.wake)
	}
	for {
		if c := l.nextAdopted(); c != nil {
			return c, nil
		}
		if last := l.stopping.Load(); last != nil {
			return l.acceptLast(last)
		}
		c, err := l.Listener.Accept()
		if err == nil {
			return l.wrapped(c), nil
		}
		if l.stopping.Load() == nil && !(errors.Is(err, os.ErrDeadlineExceeded) && l.wasWoken()) {
			return nil, err
		}
	}
}

// adopt has Accept return a connection that a sibling has accepted; false: it
// will not be called again.
func (l *listener) adopt(c net.Conn, wrap func(net.Conn) net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping.Load() != nil || l.done.Load() {
		return false
	}
	l.adopted = append(l.adopted, wrap(c))
	l.woken = true
	l.deadline(time.Unix(1, 0))
	return true
}

func (l *listener) wasWoken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.woken
}

// nextAdopted returns one if there is one, and otherwise lets Accept wait again,
// in one step: what comes after it wakes it again.
func (l *listener) nextAdopted() net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.woken {
		l.woken = false
		l.deadline(time.Time{})
	}
	if len(l.adopted) == 0 {
		return nil
	}
	c := l.adopted[0]
	l.adopted[0] = nil
	l.adopted = l.adopted[1:]
	return c
}

func (l *listener) wrapped(c net.Conn) net.Conn {
	if l.wrap == nil {
		return c
	}
	return l.wrap(c)
}

// acceptLast returns what is queued, and closes when nothing is, and no
// handshake is under way.
func (l *listener) acceptLast(last *lastAccept) (net.Conn, error) {
	for last.queued && time.Now().Before(last.until) {
		c, err := sock.AcceptQueued(l.Listener)
		if c != nil {
			return l.wrapped(c), nil
		}
		if err == nil {
			// A supervisor has looked for handshakes before it told us.
			if l.shared {
				break
			}
			if empty, err := sock.ListenerEmpty(l.Listener); empty || err != nil {
				break
			}
		}
		// A handshake is under way, or there is no descriptor for what is
		// queued. Nothing tells when that is over.
		const lookAgain = 2 * time.Millisecond
		l.deadline(time.Now().Add(lookAgain))
		if c, err := l.Listener.Accept(); err == nil {
			return l.wrapped(c), nil
		}
	}
	_ = l.Close() // nothing can be done about it, and stop has the error
	return nil, errListenerDone
}

// stop has the listener end. Quiescing is for a final stop by its only holder.
func (l *listener) stop(quiesce, queued bool) {
	if quiesce && !l.shared {
		if err := sock.QuiesceListener(l.Listener); err != nil {
			level := slog.LevelDebug
			if errors.Is(err, os.ErrPermission) { // the operator can change that
				level = slog.LevelWarn
			}
			l.log.Log(context.Background(), level, "newcomers cannot be turned away before the listener closes", "error", err)
		}
	}
	l.mu.Lock()
	l.stopping.Store(&lastAccept{queued: queued && !l.kept, until: time.Now().Add(queueTimeout)})
	l.mu.Unlock()
	l.deadline(time.Unix(1, 0)) // wakes an Accept that waits
}

func (l *listener) deadline(t time.Time) {
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(t) // it fails on a closed listener only
	}
}

// Close closes the socket, once.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.closeErr = l.Listener.Close()
		l.done.Store(true)
		poke(l.wake)
	})
	return l.closeErr
}

func (l *listener) isDone() bool { return l.done.Load() }
