package supervisor

import (
	"fmt"
	"log/slog"
	"syscall"

	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/proc"
)

// system is the operating system as the loop uses it, so that a test can put
// another in its place. Sockets are not part of it: they are real in tests too.
type system struct {
	start func(proc.Spec) (process, error)
	guard func(env []string, log *slog.Logger) *guard.Guard // nil: there is none
	close func() error

	// For another executable in the place of this one: handOver ends the
	// watching of processes, adopt goes on with one.
	handOver func([]process) ([]proc.Handover, error)
	adopt    func(proc.Handover) (process, error)

	// strays are processes that have left the groups they were started in and
	// lost their parents; nil: they are nobody's business.
	strays func() []process
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
		guard: func(env []string, log *slog.Logger) *guard.Guard { return guard.Start(children, env, log) },
		close: children.Close,
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
