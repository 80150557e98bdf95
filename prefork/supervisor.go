package prefork

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/supervisor"
)

// All stands for every slot where a method asks for one.
const All = -1

// A Supervisor is the parent's view of what runs, made by New. One goroutine
// owns the processes; the methods bring it their requests, which name a slot
// and never a pid, and wait. Before Run they wait until it has been called. When
// ctx ends only the waiting does, with its error; what was asked for goes on. In
// a worker, and after the end of Run, they return an error.
type Supervisor struct {
	name   string
	inner  *supervisor.Supervisor // nil: this process is a worker
	worker func(context.Context) error
	after  func()
	ran    atomic.Bool // Run was called
	ended  chan struct{}
	err    error // what Run returns; set before ended is closed
}

// New returns a Supervisor that has not started anything yet, in a worker too.
// The error is a *ConfigError, in the parent; there the Config has been checked
// by the time there are workers.
func New(c Config) (*Supervisor, error) {
	if c.Worker == nil {
		return nil, &ConfigError{"Worker", "is not set: there is no work to do"}
	}
	s := &Supervisor{worker: c.Worker, after: c.After, ended: make(chan struct{})}
	if process.worker {
		return s, nil
	}
	p, err := newPlan(c)
	if err != nil {
		return nil, err
	}
	s.name = p.config.Name
	s.inner, err = supervisor.New(p.config, p.options)
	return s, err
}

// Run is the function Run.
func (s *Supervisor) Run(ctx context.Context) error {
	if !s.ran.CompareAndSwap(false, true) {
		return ErrCalled // the first call of this one's Run says how it ends
	}
	if s.err = process.claim(); s.err != nil {
		if s.inner != nil {
			s.inner.Abandon()
			close(s.ended)
		}
		return s.err
	}
	if s.inner == nil {
		process.work(ctx, s.worker)
	}
	forget := context.AfterFunc(ctx, func() { _ = s.Stop(context.Background()) }) // Run returns the verdict
	defer forget()
	s.err = runError(s.inner.Run())
	defer close(s.ended)
	if s.after != nil {
		s.after()
	}
	return s.err
}

// Wait waits until Run is about to return, and returns what it returns. In a
// worker it waits for ctx alone: what stands behind it is the parent's to do.
func (s *Supervisor) Wait(ctx context.Context) error {
	select {
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop stops everything in order, as TERM does, and waits for the end of the
// last process. It may be repeated. The error is an *Error: Cut, Died.
func (s *Supervisor) Stop(ctx context.Context) error {
	return s.do(ctx, "stop", control.Request{Verb: "stop"})
}

// Cut is Stop, and cuts the work in progress now, also that of a Stop that
// waits.
func (s *Supervisor) Cut(ctx context.Context) error {
	return s.do(ctx, "cut", control.Request{Verb: "stop", Now: true})
}

// Drain has a worker, or All, end when its work is done, and waits for that.
// The slot stays down until Start. The error is an *Error: Cut, Died, NoSuch.
func (s *Supervisor) Drain(ctx context.Context, slot int) error {
	return s.do(ctx, "drain", control.Request{Verb: "drain", Target: s.target(slot)})
}

// Start ends a Drain, or the failure of a slot, and waits until the worker, or
// All, is ready.
func (s *Supervisor) Start(ctx context.Context, slot int) error {
	return s.do(ctx, "start", control.Request{Verb: "start", Target: s.target(slot)})
}

// Roll replaces a worker, or All one after the other: the new process is ready
// before the old one is asked to drain. It waits for the end of the last old
// one. If a new one does not come up the old ones serve on: RolledBack. The new
// ones are of the parent's build, as all are.
func (s *Supervisor) Roll(ctx context.Context, slot int) error {
	return s.do(ctx, "roll", control.Request{Verb: "restart", Target: s.target(slot)})
}

// Scale sets the number of workers, at least 1, and waits until those that are
// new are ready and those above it have drained.
func (s *Supervisor) Scale(ctx context.Context, workers int) error {
	return s.do(ctx, "scale", control.Request{Verb: "scale", Target: s.target(All), Workers: workers})
}

func (s *Supervisor) target(slot int) string {
	if slot == All {
		return s.name
	}
	return s.name + "." + strconv.Itoa(slot)
}

func (s *Supervisor) do(ctx context.Context, op string, r control.Request) error {
	if s.inner == nil {
		return errWorker
	}
	if r.Target != "" {
		op += " " + r.Target
	}
	v := s.inner.Do(ctx, r, func([]control.Progress) {})
	if err := ctx.Err(); err != nil && (v.Code == control.Failed || v.Code == control.NotRunning) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return commandError(op, v)
}

// A Snapshot is all that runs, at one moment.
type Snapshot struct {
	State      string // "starting", "running", "rolling" or "stopping"
	Generation int    // of the workers: each roll of All makes a new one
	Wanted     int    // how many workers there are to be
	Workers    []Process
	Helpers    []Process // in the order they are started
}

// A Process is one life in a slot. A slot that is being replaced has two, the
// older first; one that is empty has one with Pid 0.
type Process struct {
	Name       string // "siege.2"
	Slot       int
	Pid        int
	Life       int // never used twice in a run
	Generation int
	State      string // as in "lastcall status" (docs/states.md)
	Ready      bool
	Reason     string        // why it drains, waits or has failed; "": none
	Uptime     time.Duration // since it was started
	Restarts   int           // of the slot
	Inflight   int           // operations in progress; -1: it cannot say
}

// Snapshot returns what runs. It asks each worker that serves with package
// lastcall for its operations, and waits half a second at the most for one that
// does not answer.
func (s *Supervisor) Snapshot(ctx context.Context) (Snapshot, error) {
	if s.inner == nil {
		return Snapshot{}, errWorker
	}
	st, err := s.inner.Status(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return Snapshot{}, fmt.Errorf("take snapshot: %w", err)
	case err != nil:
		return Snapshot{}, newError("take snapshot", Ended, control.NotRunning, err)
	}
	snap := Snapshot{State: st.State}
	for _, p := range st.Programs {
		to := &snap.Helpers
		if p.Name == s.name {
			to = &snap.Workers
			snap.Generation, snap.Wanted = p.Generation, p.Wanted
		}
		for _, w := range p.Workers {
			*to = append(*to, Process{
				Name: w.Worker, Slot: w.Slot, Pid: w.PID, Life: w.Life, Generation: w.Generation,
				State: w.State, Ready: w.State == "ready", Reason: w.Reason,
				Uptime:   time.Duration(w.Uptime * float64(time.Second)),
				Restarts: w.Restarts, Inflight: w.Inflight,
			})
		}
	}
	return snap, nil
}

// Pid returns the process id of the worker in a slot; of two, the newer one's.
// It is for people and logs: by the time it is used the process may have ended
// and the number be another's. To act on a worker name its slot. An empty slot
// is an *Error, NoSuch.
func (s *Supervisor) Pid(ctx context.Context, slot int) (int, error) {
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	pid := 0
	for _, p := range snap.Workers {
		if p.Slot == slot && p.Pid != 0 {
			pid = p.Pid
		}
	}
	if pid == 0 {
		return 0, newError("look up pid of "+s.target(slot), NoSuch, control.NoSuch, errors.New("no process is in the slot"))
	}
	return pid, nil
}
