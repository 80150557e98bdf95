package supervisor

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/parent"
	"github.com/lastcall/lastcall/internal/pool"
)

// Options is what a Supervisor is given besides its configuration.
type Options struct {
	Logger   *slog.Logger         // nil: nothing is logged
	Stdout   io.Writer            // of the workers; nil: it is dropped
	Stderr   io.Writer            // of the workers; nil: it is dropped
	Terminal bool                 // Stdout is one: the workers' lines are prefixed
	Kinds    map[string]gate.Kind // the gates and probes there are; nil: gate.Kinds()
	Version  string

	// Upgrade are the arguments by which the executable at the path of this one
	// calls CheckState with its standard input and output; nil: no other
	// can take the place of this one: it is no program of its own.
	Upgrade []string

	// Load reads the configuration again, for a reload; nil: there is nothing
	// to read again. Reopen opens the log anew; nil: it is no file. Both are
	// called from goroutines of their own.
	Load   func() (Config, error)
	Reopen func() error

	// Parent is told how things are, and may pass listening sockets; nil:
	// nobody is.
	Parent *parent.Parent

	// LeaveSignals leaves TERM, INT, QUIT and HUP to the rest of the process.
	LeaveSignals bool
}

// The exit codes of a supervisor (docs/command.md).
const (
	exitDone     = 0
	exitFailure  = 1
	exitNotUp    = 3
	exitGaveUp   = 4
	exitCut      = 5
	exitDied     = 6
	progressTick = 5 * time.Second // between two log lines about a drain
)

// Report is how a supervisor ended.
type Report struct {
	Code int   // the exit code
	Err  error // nil, or why the code is not 0, in one line
}

// A Supervisor runs the programs of one configuration. Only its methods of
// control.Handler may be called from other goroutines than Run's.
type Supervisor struct {
	config  Config
	options Options
	log     *slog.Logger
	system  system
	guard   *guard.Guard           // nil: none
	boot    func() (system, error) // newSystem, but for tests
	core    *pool.Pool
	began   time.Time

	events chan pool.Event // of processes, sockets and probes
	calls  chan func()     // run by the loop between two events
	done   chan struct{}   // closed when the loop has ended

	loading chan struct{} // has one token: held from the reading of a configuration until it is applied

	// All below is the loop's alone.
	queue     []pool.Event // events that actions gave rise to
	lives     map[pool.ID]*life
	versions  map[string]map[int]*version // of programs, by generation
	listeners map[string]*listener        // by the names the core has for them
	names     map[string]string           // those, by the names of the configuration
	fresh     map[string]bool             // programs of which the configuration says what no generation is yet
	tickets   ticketKeys
	notify    notifyPlace
	replies   map[int]reply
	token     int
	told      told            // to the parent
	talk      time.Time       // when to log what a drain waits for; zero: nothing drains
	terminal  bool            // there was one at the start, and its end is the user's
	ints      int             // how many SIGINT came
	graves    []grave         // the newest last
	killed    []process       // stop commands that outlived their lives; they may be gone by now
	wrappers  map[string]bool // programs of which it was said that their command is one

	executable string
	control    *control.Server // nil: none
	signals    chan os.Signal
	pending    []syscall.Signal                  // that came before the loop began
	watching   bool                              // the workers' memory
	trimmer    *time.Timer                       // nil: nothing was to be given back yet
	parking    chan halted                       // readers come to a halt
	parked     map[<-chan struct{}]chan struct{} // that have, by their ends
	handedOver bool                              // the processes have been, and the guard
	upgrade    *upgrade                          // nil: none is wanted
	upgrades   int                               // how many there have been
	inherited  *handover                         // nil: it was started afresh
	retired    guard.Handover                    // the guard that was, while another executable is about to take over

	report *Report // set when all has ended
}

// New returns a supervisor that has not touched anything yet. The
// configuration must have been validated.
func New(c Config, o Options) (*Supervisor, error) {
	if len(c.Programs) == 0 {
		return nil, errors.New("run supervisor: no programs")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	if o.Kinds == nil {
		o.Kinds = gate.Kinds()
	}
	return &Supervisor{
		config: c, options: o, log: o.Logger, boot: newSystem,
		events:    make(chan pool.Event),
		calls:     make(chan func()),
		done:      make(chan struct{}),
		parking:   make(chan halted),
		parked:    make(map[<-chan struct{}]chan struct{}),
		loading:   make(chan struct{}, 1),
		retired:   guard.Handover{Pidfd: -1, Link: -1},
		lives:     make(map[pool.ID]*life),
		versions:  make(map[string]map[int]*version),
		names:     make(map[string]string),
		fresh:     make(map[string]bool),
		wrappers:  make(map[string]bool),
		listeners: make(map[string]*listener),
		replies:   make(map[int]reply),
	}, nil
}

// Run binds the sockets, starts the programs, and returns after the last
// process has ended: when it is told to stop (TERM, INT, QUIT, or the
// operator), when a program does not start, or when one has no worker left.
// Whatever the reason, nothing it started is left behind. It may be called
// once.
func (s *Supervisor) Run() Report {
	if s.inherited == nil {
		s.began = time.Now()
		s.terminal = hasTerminal()
	}
	s.signals = make(chan os.Signal, 128)
	s.catchSignals()
	defer signal.Stop(s.signals)
	// A reader of our output that is gone must not end the supervisor. Caught,
	// not ignored: programs that others of this process start would inherit that.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	if s.options.LeaveSignals { // else the process ends with it, and may have something to say still
		defer signal.Stop(pipe)
	}

	var err error
	if s.executable, err = ownPath(); err != nil {
		close(s.done)
		return Report{exitFailure, err}
	}
	if err := checkPIDFile(s.config.PIDFile); err != nil {
		close(s.done)
		return Report{exitNotUp, err}
	}
	var handlers sync.WaitGroup
	defer handlers.Wait()
	if s.config.Socket != "" {
		if s.control, err = s.openControl(); err != nil {
			close(s.done)
			return Report{exitNotUp, err}
		}
		defer s.control.Close()
		handlers.Go(func() {
			if err := s.control.Serve(s); err != nil {
				s.log.Error("control socket", "err", err)
			}
		})
	}
	// Closed before the server is: no operator waits for a loop that has left.
	defer close(s.done)
	return s.run()
}

// Abandon ends a supervisor that is not to run after all: its methods return as
// after the end. It is called instead of Run.
func (s *Supervisor) Abandon() { close(s.done) }

// run binds, or takes over, and feeds the core until it has finished.
func (s *Supervisor) run() Report {
	if p := s.options.Parent; p != nil {
		p.Failed = func(err error) { s.log.Warn("parent", "err", err) }
		defer p.Close()
	}
	open := s.bind
	if s.inherited != nil {
		open = s.takeOver
	}
	defer s.closeListeners()
	defer s.unpin()
	if err := open(); err != nil {
		return Report{exitNotUp, err}
	}
	sys, err := s.boot()
	if err != nil {
		return Report{exitFailure, err}
	}
	s.system = sys
	defer func() { _ = s.system.close() }()       // the one there is by then
	unlink, err := writePIDFile(s.config.PIDFile) // before there is a guard, which would take a failure for our end
	if err != nil {
		return Report{exitNotUp, err}
	}
	defer unlink()
	s.placeNotify()
	s.startGuard()
	defer func() {
		// A panic ends the process, and the guard finishes the stop: it must
		// not be told that all is well.
		if s.report != nil {
			s.removeNotify() // first: if this process is killed now, the guard does
			s.guard.Close()
		}
	}()
	if err := s.begin(); err != nil {
		return Report{exitFailure, err}
	}
	s.loop()
	for _, l := range s.lives { // those that even KILL has not ended
		s.endCommand(l)
		l.release()
	}
	s.awaitCommands()
	s.endStrays()
	s.log.Info("supervisor ended", "code", s.report.Code)
	return *s.report
}

func (s *Supervisor) startGuard() {
	s.guard = nil
	if s.system.guard != nil {
		s.guard = s.system.guard(inherited(), s.notify.dir, s.log)
	}
}

// begin starts the programs, or goes on with them.
func (s *Supervisor) begin() error {
	if s.inherited == nil {
		s.log.Info("supervisor started", "name", s.config.Name, "pid", os.Getpid(), "socket", s.config.Socket)
		s.core = pool.New(s.corePrograms(), uint64(s.began.UnixNano()))
		s.step(pool.Begin{})
		return nil
	}
	if err := s.resumeLives(); err != nil {
		return err
	}
	s.log.Info("supervisor upgraded", "name", s.config.Name, "pid", os.Getpid(), "from", s.inherited.Version, "to", s.options.Version)
	s.inherited = nil
	s.takePending()
	s.step(pool.Tick{}) // what has fallen due meanwhile
	return nil
}

// loop feeds the core until it has finished.
func (s *Supervisor) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for s.report == nil {
		s.tellParent()
		s.setTimer(timer)
		select {
		case e := <-s.events:
			s.step(e)
		case call := <-s.calls:
			call()
		case r := <-s.parking: // for an upgrade that was given up before
			close(r.on)
		case sig := <-s.signals:
			s.signalled(sig.(syscall.Signal))
		case <-timer.C:
			s.step(pool.Tick{})
			s.talkDue()
			s.rotateTickets()
		}
		s.settleUpgrade()
	}
	s.tellParent()
}

// setTimer arms the one timer there is.
func (s *Supervisor) setTimer(timer *time.Timer) {
	at, ok := s.core.Deadline()
	if !s.talk.IsZero() && (!ok || s.talk.Before(at)) {
		at, ok = s.talk, true
	}
	if next := s.tickets.Next; !next.IsZero() && (!ok || next.Before(at)) {
		at, ok = next, true
	}
	if next, due := s.told.due(); due && (!ok || next.Before(at)) {
		at, ok = next, true
	}
	if !ok {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(at))
}

// step gives the core one event, carries out what it wants, and goes on with
// the events that come of that, until none is left.
func (s *Supervisor) step(e pool.Event) {
	s.queue = append(s.queue, e)
	for len(s.queue) > 0 {
		e := s.queue[0]
		s.queue = s.queue[1:]
		actions := s.core.Step(time.Now(), e)
		s.steer() // first: nobody is to come to a worker that is asked to end
		for _, a := range actions {
			if !s.heldBack(a) {
				s.act(a)
			}
		}
		s.steer() // by what the actions have made of lives
	}
}

// post brings an event to the loop, from another goroutine.
func (s *Supervisor) post(e pool.Event) {
	select {
	case s.events <- e:
	case <-s.done:
	}
}

// call runs f in the loop and waits for it, from another goroutine. It returns
// false, without having run f, when the loop has ended or ctx has.
func (s *Supervisor) call(ctx context.Context, f func()) bool {
	ran := make(chan struct{})
	select {
	case s.calls <- func() { defer close(ran); f() }:
		<-ran
		return true
	case <-s.done:
	case <-ctx.Done():
	}
	return false
}

// corePrograms is what the core needs to know of the configuration.
func (s *Supervisor) corePrograms() []pool.Program {
	out := make([]pool.Program, len(s.config.Programs))
	for i, p := range s.config.Programs {
		out[i] = pool.Program{
			Name: p.Name, Workers: p.Workers, DependsOn: p.DependsOn, Listeners: s.coreNames(p.Listen),
			Ports: p.PortBase > 0, MostWorkers: p.mostWorkers(),
			Gated: len(p.Gates) > 0, StopCommand: len(p.StopCommand) > 0,
			CloseSignal: p.CloseSignal != 0, StopSignal: int(p.StopSignal), StopSteps: p.coreSteps(),
			ReadyTimeout: p.ReadyTimeout, ReadyBy: p.readiness(), DrainTimeout: p.DrainTimeout, DrainMax: p.DrainTimeoutMax, UnwindTimeout: p.unwind(), StopTimeout: p.StopTimeout,
			Restart: pool.RestartPolicy(p.Restart), MaxRestarts: p.MaxRestarts, RestartWindow: p.RestartWindow,
			MinUptime: p.Proven, MaxSurge: p.MaxSurge, MaxDraining: p.MaxDraining,
			MaxAge: p.MaxAge, MaxAgeJitter: p.MaxAgeJitter, Watchdog: p.Watchdog, LameDuck: p.LameDuck,
		}
	}
	return out
}

// defaultUnwind is what a worker takes to unwind where nothing is configured,
// the default of package lastcall.
const defaultUnwind = 200 * time.Millisecond

func (p *Program) unwind() time.Duration { return cmp.Or(p.UnwindTimeout, defaultUnwind) }
