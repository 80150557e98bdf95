package prefork

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/lastcall/lastcall"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
)

// childVariable tells a process of the program's executable that it is a
// worker.
const childVariable = "LASTCALL_PREFORK"

// process is what this process is: settled before main begins, and passed by
// nobody, since a worker has nothing to pass it from.
var process role

// A role is what a process is. The zero role is that of a program that has not
// called Run.
type role struct {
	worker bool
	env    wire.Env // a worker's
	err    error    // env could not be read

	mu     sync.Mutex
	called bool         // Run was
	taken  map[int]bool // listeners, by their place in env
}

// init runs before main: what is to become a helper, and the shim of a worker,
// must not execute any of that. A function to be called first thing in main
// would do the same, until it is forgotten; then each helper runs main instead.
func init() {
	proc.Shim()
	if _, process.worker = os.LookupEnv(childVariable); !process.worker {
		return
	}
	// Programs that the worker starts are no workers. It fails for impossible
	// names only.
	_ = os.Unsetenv(childVariable)
	process.env, process.err = wire.ParseEnv(os.LookupEnv)
	// Linux has named the process after the link it was executed by, "exe":
	// ps and killall shall find it by the program's name. Elsewhere there is
	// no such file, and no such name.
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
}

// TaskID returns the number of the slot this worker is in, from 0: the same in
// the process that replaces it. In any other process, the parent and the
// worker's own children too, it is -1.
func TaskID() int {
	if !process.worker {
		return -1
	}
	return process.env.Slot
}

// Listener returns one of the sockets of Config.Listen in a worker: that of the
// name, or with "" the only one. Each can be had once, and is the caller's;
// closing it leaves those of the others open. It is for a Config.Worker that
// does not serve with package lastcall, which takes them all: then, and in any
// process but a worker, it returns an error.
func Listener(name string) (net.Listener, error) {
	l, err := process.listener(name)
	if err != nil {
		return nil, fmt.Errorf("take listener %q: %w", name, err)
	}
	return l, nil
}

func (r *role) listener(name string) (net.Listener, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.worker:
		return nil, errors.New("this process is no worker")
	case r.served():
		return nil, errors.New("package lastcall has taken it")
	}
	i := slices.IndexFunc(r.env.Listeners, func(l wire.Listener) bool { return l.Name == name })
	if name == "" && len(r.env.Listeners) == 1 {
		i = 0
	}
	switch {
	case i < 0:
		var names []string
		for _, l := range r.env.Listeners {
			names = append(names, l.Name)
		}
		return nil, fmt.Errorf("not among %q", names)
	case r.taken[i]:
		return nil, errors.New("it has been taken before")
	}
	if r.taken == nil {
		r.taken = make(map[int]bool)
	}
	r.taken[i] = true
	return sock.Inherit(wire.FirstFD + i)
}

// served tells whether package lastcall serves here. It removes the variables
// of what it takes.
func (r *role) served() bool {
	_, there := os.LookupEnv(wire.EnvListeners)
	return !there
}

// claim makes this call of Run the only one of the process.
func (r *role) claim() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.called {
		return ErrCalled
	}
	r.called = true
	return nil
}

// work is the rest of a worker's life.
func (r *role) work(ctx context.Context, worker func(context.Context) error) {
	err := r.err
	if err == nil {
		// The end of ctx is for the parent to see, which then stops its
		// workers in order: here it would come before the sockets are quiet.
		told, tell := context.WithCancel(context.WithoutCancel(ctx))
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
		go r.listen(signals, tell)
		err = worker(told)
		if told.Err() != nil && isFarewell(err) {
			err = nil
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", r.env.Worker(), err)
		os.Exit(1)
	}
	os.Exit(0)
}

// listen tells the worker when it is to end. A signal that comes to a worker
// of package lastcall is left to that, which may have to wait for the
// supervisor's order first.
func (r *role) listen(signals <-chan os.Signal, tell context.CancelFunc) {
	for {
		select {
		case <-signals:
			if r.served() {
				continue
			}
		case <-lastcall.Draining(context.Background()):
		}
		tell()
		return
	}
}

// isFarewell recognizes the errors by which servers and loops say that they
// were told to end.
func isFarewell(err error) bool {
	return slices.ContainsFunc([]error{context.Canceled, http.ErrServerClosed, net.ErrClosed, lastcall.ErrDraining},
		func(farewell error) bool { return errors.Is(err, farewell) })
}
