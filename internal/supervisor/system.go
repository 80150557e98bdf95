package supervisor

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/handoff"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
)

// system is the operating system as the loop uses it, so that a test can put
// another in its place. Listening sockets are not part of it: nobody waits on
// one here, so they are real in tests too.
type system struct {
	start func(proc.Spec) (process, error)
	guard func(env []string, remove string, log *slog.Logger) *guard.Guard // nil: there is none
	close func() error

	// What joins the supervisor and a life. Each returns our end, and what the
	// process is given of the other: a descriptor, a name, a file.
	channel func() (channel, int, error)
	notify  func(id pool.ID, dir string) (datagrams, string, error) // dir "": without a path
	pipe    func() (source, *os.File, error)

	pair func() (sender, receiver int, err error) // of what joins two lives

	// What can be seen of a process from outside. They take their time, and may
	// be called from any goroutine.
	accepting func(pid int, listeners []*sock.Listener) sock.Sight
	memory    func(pid int) int64
	wrapping  func(pid int, listeners []*sock.Listener, deep bool) (w *wrapping, taken bool) // nil: nobody looks

	// For another executable in the place of this one: prove has it read the
	// state, and returns what it says; handOver ends the watching of processes,
	// adopt goes on with one; exec is execve(2).
	prove    func(path string, args []string, state []byte) ([]byte, error)
	handOver func([]process) ([]proc.Handover, error)
	adopt    func(proc.Handover) (process, error)
	exec     func(path string, args, env []string) error

	// strays are processes that have left the groups they were started in and
	// lost their parents; nil: they are nobody's business.
	strays func() []process
	spare  func([]int) // children that are no strays
	spared func() []int
}

// process is a *proc.Process.
type process interface {
	Pid() int
	Signal(syscall.Signal) error
	SignalGroup(syscall.Signal) error
	Exited() <-chan struct{}
	Gone() <-chan struct{}
	Exit() proc.Exit
}

// channel is a *wire.Channel.
type channel interface {
	Send(...wire.Message) error
	Receive() (wire.Message, error)
	Interrupt() error
	Resume() error
	CloseRead() error
	Close() error
	syscall.Conn
}

// A source is what a life writes to: an *os.File, our end of a pipe.
type source interface {
	io.ReadCloser
	SetReadDeadline(time.Time) error
	syscall.Conn
}

// datagrams is a notify socket: a *notifySocket.
type datagrams interface {
	Receive() ([]byte, sender, error)
	Left() ([]byte, sender, error) // without waiting
	Close() error
	SetReadDeadline(time.Time) error
	syscall.Conn
}

func newSystem() (system, error) {
	children, err := proc.NewChildren()
	if err != nil {
		return system{}, fmt.Errorf("watch processes: %w", err)
	}
	return system{
		start: func(spec proc.Spec) (process, error) {
			p, err := children.Start(spec)
			if err != nil {
				return nil, err // not a nil *proc.Process in an interface
			}
			return p, nil
		},
		guard: func(env []string, remove string, log *slog.Logger) *guard.Guard {
			return guard.Start(children, env, remove, log)
		},
		close:     children.Close,
		channel:   func() (channel, int, error) { return wire.Pair() },
		notify:    openNotify,
		pipe:      func() (source, *os.File, error) { return os.Pipe() },
		pair:      handoff.Pair,
		accepting: accepting,
		memory:    proc.Memory,
		wrapping:  wrappingOf,
		prove:     prove,
		exec:      syscall.Exec,
		spare:     children.Spare,
		spared:    children.Spared,
		strays: func() []process {
			var out []process
			for _, p := range children.Strays() {
				out = append(out, p)
			}
			return out
		},
		handOver: func(list []process) ([]proc.Handover, error) {
			processes := make([]*proc.Process, len(list))
			for i, p := range list {
				processes[i] = p.(*proc.Process)
			}
			return children.HandOver(processes)
		},
		adopt: func(h proc.Handover) (process, error) {
			p, err := children.Adopt(h)
			if err != nil {
				return nil, err
			}
			return p, nil
		},
	}, nil
}
