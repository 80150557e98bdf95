package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
	"golang.org/x/sys/unix"
)

// How long until a guard that has died is replaced: at once if it has lived for
// a while, and the longer the more often it dies young.
const (
	leastPause = time.Second
	mostPause  = time.Minute
)

// sendTimeout is how long a guard may leave a message unread until it is taken
// for dead. The supervisor's loop waits for it.
const sendTimeout = time.Second

// A Guard is the supervisor's side of the guard. All methods may be called from
// any goroutine; those of nil do nothing.
type Guard struct {
	children *proc.Children
	env      []string
	remove   string
	log      *slog.Logger

	quit    chan struct{} // closed by Close
	running sync.WaitGroup

	mu      sync.Mutex
	process *proc.Process // nil: it could not be started, or its successor not yet
	link    *net.UnixConn // to process
	lives   map[int]*Life // that it is to know of
	last    int           // the newest life's id
}

// A Life is one life that the guard knows of. All methods may be called from
// any goroutine; those of nil do nothing.
type Life struct {
	guard   *Guard
	id      int
	rule    Rule
	process *proc.Process
	channel syscall.RawConn // nil: it has none

	drains, busy bool
	turn         Turn
}

// Start starts the guard and returns without waiting for it: what it is told
// it will find. env is its environment, and that of the stop commands. A guard
// that cannot be started, or dies, is logged and tried again, at longer and
// longer intervals; meanwhile the supervisor runs without. Close ends it.
//
// remove is a directory that the guard removes, with all in it, at the end of a
// stop that it had to finish; "": none. It need not be there yet.
func Start(children *proc.Children, env []string, remove string, log *slog.Logger) *Guard {
	g := &Guard{children: children, env: env, remove: remove, log: log, quit: make(chan struct{}), lives: make(map[int]*Life)}
	g.begin()
	g.running.Add(1)
	go g.keep()
	return g
}

// PID returns the guard's process id, 0 while there is none.
func (g *Guard) PID() int {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process == nil {
		return 0
	}
	return g.process.Pid()
}

// Close ends the guard, by killing it, and returns when it is gone: from then
// on nobody finishes anything. It is for a supervisor all of whose lives have
// ended.
func (g *Guard) Close() {
	if g == nil {
		return
	}
	close(g.quit)
	g.running.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end()
}

// end kills the guard, before the link is closed: what it would see then is a
// supervisor that has died. mu is held.
func (g *Guard) end() {
	if g.process == nil {
		return
	}
	_ = g.process.Signal(syscall.SIGKILL) // it may have died by itself
	<-g.process.Exited()
	_ = g.link.Close()
	g.process, g.link = nil, nil
}

// keep replaces the guard when it dies.
func (g *Guard) keep() {
	defer g.running.Done()
	for pause := time.Duration(0); ; {
		began := time.Now()
		g.mu.Lock()
		p := g.process
		g.mu.Unlock()
		if p != nil {
			select {
			case <-p.Exited():
			case <-g.quit:
				return
			}
			g.log.Warn("the guard has died", "pid", p.Pid(), "how", p.Exit().String())
		}
		if pause = min(max(2*pause, leastPause), mostPause); time.Since(began) > pause {
			pause = 0
		}
		select {
		case <-time.After(pause):
		case <-g.quit:
			return
		}
		g.begin()
	}
}

// begin starts a guard, in the place of one that has died, and tells it of all
// lives.
func (g *Guard) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end()
	if err := g.start(); err != nil {
		g.log.Error("running without a guard", "err", err)
		return
	}
	for _, id := range slices.Sorted(maps.Keys(g.lives)) {
		l := g.lives[id]
		l.introduce()
		if l.drains {
			g.send(message{ID: l.id, Drains: true})
		}
		if l.busy {
			g.send(message{ID: l.id, Busy: &l.busy})
		}
		if l.turn != (Turn{}) {
			g.send(l.turned())
		}
	}
}

// start makes the link and the process at its other end. mu is held.
func (g *Guard) start() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("start guard: make link: %w", err)
	}
	defer unix.Close(fds[1])
	file := os.NewFile(uintptr(fds[0]), "guard")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return fmt.Errorf("start guard: open link: %w", err)
	}
	p, err := g.children.Start(proc.Spec{
		Path: "/proc/self/exe", Args: []string{"lastcall: guard"},
		Env: append(slices.Clone(g.env), variable+"="+logFormat(g.log), removeVariable+"="+g.remove), Files: []int{fds[1]}, Stderr: os.Stderr,
	})
	if err != nil {
		conn.Close()
		return fmt.Errorf("start guard: %w", err)
	}
	g.process, g.link = p, conn.(*net.UnixConn)
	g.log.Debug("guard started", "pid", p.Pid())
	return nil
}

// logFormat is how the guard is to write its log: as the supervisor writes its
// own, for whoever reads both. A handler of somebody else's cannot be taken along.
func logFormat(log *slog.Logger) string {
	if _, json := log.Handler().(*slog.JSONHandler); json {
		return "json"
	}
	return "text"
}

// Add tells the guard of a life, and returns when the message is where it
// cannot be lost, even if this process is killed at once; so it belongs into
// Before of the process's Spec. channel is this side's end of the life's
// channel, nil for none: the guard keeps it open, so that the life does not
// take the end of this process for its own before its turn. A message that does
// not reach the guard reaches its successor.
func (g *Guard) Add(r Rule, p *proc.Process, channel syscall.RawConn) *Life {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last++
	l := &Life{guard: g, id: g.last, rule: r, process: p, channel: channel}
	g.lives[l.id] = l
	l.introduce()
	return l
}

// introduce sends the guard the rule of a life and its descriptors. mu is held.
func (l *Life) introduce() {
	// A life that is gone has none any more; that is no news for the guard.
	_ = l.process.Pidfd(func(pidfd int) {
		m := message{ID: l.id, PID: l.process.Pid(), Rule: &l.rule}
		if l.channel == nil {
			l.guard.send(m, pidfd)
			return
		}
		if l.channel.Control(func(fd uintptr) { l.guard.send(m, pidfd, int(fd)) }) != nil {
			l.guard.send(m, pidfd) // the channel is closed
		}
	})
}

// Ruled tells the guard that the life is to be stopped by another rule from now
// on. At no moment does the guard not know of it, as it would if the life were
// forgotten and added again.
func (l *Life) Ruled(r Rule) {
	l.tell(func() message {
		l.rule = r
		return message{ID: l.id, Rule: &r}
	})
}

// Drains tells the guard that the life uses its channel, so that Rule.Drain is
// what asks it.
func (l *Life) Drains() {
	l.tell(func() message {
		l.drains = true
		return message{ID: l.id, Drains: true}
	})
}

// Busy tells the guard whether the life has work in progress that its stop
// signal would cut. It matters only where the Rule has a CloseSignal.
func (l *Life) Busy(is bool) {
	l.tell(func() message {
		l.busy = is
		return message{ID: l.id, Busy: &is}
	})
}

// Turned tells the guard how far the life has come on its way out. What it was
// told before of that holds no more.
func (l *Life) Turned(t Turn) {
	l.tell(func() message {
		l.turn = t
		return l.turned()
	})
}

func (l *Life) turned() message {
	left := func(t time.Time) *time.Duration {
		if t.IsZero() {
			return nil
		}
		d := time.Until(t)
		return &d
	}
	return message{ID: l.id, Turn: &turn{left(l.turn.Closing), left(l.turn.Kill), left(l.turn.Next), l.turn.Sent}}
}

// Forget tells the guard that the life is gone, all its group with it.
func (l *Life) Forget() {
	l.tell(func() message {
		delete(l.guard.lives, l.id)
		return message{ID: l.id, Gone: true}
	})
}

func (l *Life) tell(change func() message) {
	if l == nil {
		return
	}
	l.guard.mu.Lock()
	defer l.guard.mu.Unlock()
	l.guard.send(change())
}

// send gives the guard a message, if there is one. A guard that does not read
// is ended, and then replaced. mu is held.
func (g *Guard) send(m message, fds ...int) {
	if g.link == nil {
		return
	}
	b, err := json.Marshal(m)
	if err == nil {
		// An error of it is one of the next call too.
		_ = g.link.SetWriteDeadline(time.Now().Add(sendTimeout))
		var rights []byte
		if len(fds) > 0 {
			rights = unix.UnixRights(fds...)
		}
		_, _, err = g.link.WriteMsgUnix(b, rights, nil)
	}
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		// Of one that is dead, or dying, keep will see the end.
	case errors.Is(err, os.ErrDeadlineExceeded):
		g.log.Warn("the guard does not read")
		_ = g.process.Signal(syscall.SIGKILL)
		// Until it is replaced nobody waits for it again.
		_ = g.link.Close()
	default:
		g.log.Error("tell guard", "err", err)
	}
}
