// Package prefork is the supervisor as a library: for a Go program that is the
// parent of its own workers, as a pre-forked server is.
//
//	func main() {
//		err := prefork.Run(context.Background(), prefork.Config{
//			Workers: 4,
//			Listen:  []string{"127.0.0.1:8080"},
//			Worker: func(ctx context.Context) error {
//				var w lastcall.Worker
//				return w.Serve(ctx, lastcall.Server{HTTP: &http.Server{Handler: mux()}})
//			},
//		})
//		if err != nil {
//			log.Print(err)
//		}
//		os.Exit(prefork.ExitCode(err))
//	}
//
// The first process of the program is the parent. It binds the sockets, starts
// the helpers, and when they are ready the workers: each is the program's own
// executable, with the same arguments and environment. The parent restarts
// those that crash, and Run returns in it when the last process has ended.
//
// # What runs twice
//
// Go cannot fork, so a worker begins at the top of main, and all of main above
// Run is executed in each worker too: flags are parsed, a configuration is
// read. It must come to the same call of Run, which never returns there. So
//
//   - what every process needs belongs before Run;
//   - what only the workers need (a pool of database connections) belongs in
//     Config.Worker;
//   - what only the parent may do belongs after Run or in Config.After, or, if
//     it must come first, under "if prefork.TaskID() < 0";
//   - functions deferred before Run do not run in a worker.
//
// The initialization of packages that do not import this one may run once more
// for each process that is started, before it becomes what it is to be.
//
// # Children of one's own
//
// While Run runs the parent is the subreaper of its descendants: it reaps the
// orphans among them. Children started with os/exec keep their exit status.
// Those of bare syscall.ForkExec and of C code may lose it.
//
// # Goroutines
//
// Every function and method may be called from any goroutine.
package prefork

import (
	"context"
	"io"
	"log/slog"
	"syscall"
	"time"
)

// Config is what a parent runs. Only Worker is required. Of durations and
// counts zero means the default.
type Config struct {
	// Name is the workers' in logs and in LASTCALL_WORKER: "siege.2" is slot 2
	// of siege. Letters, digits, _ and -. "": the base name of os.Args[0].
	Name string
	// Workers is their number. 0: one for each CPU this process may use.
	Workers int
	// Worker is the work of one worker, called in each. Its context has the
	// values of the one given to Run, and ends only when the worker is told to
	// end: if it serves with package lastcall, when that begins to drain, else
	// by TERM or INT.
	//
	// When it returns the process ends: with status 0 after nil, and after
	// context.Canceled, http.ErrServerClosed, net.ErrClosed or
	// lastcall.ErrDraining if it was told to end; else with the error on
	// stderr and status 1. A panic ends it as ever. An end that nobody has
	// asked for, whatever the status, is a crash: another process follows.
	Worker func(context.Context) error

	// Listen are the sockets all workers share, as "[NAME=]ADDRESS":
	// "127.0.0.1:8080", "admin=:9090", "/run/app.sock". The parent binds them
	// before anything starts. Package lastcall finds them by itself; other
	// workers ask Listener. The first without a name has that of the Config,
	// the next "NAME-2".
	Listen []string
	// Slots gives each worker a socket of its own at each of these addresses,
	// between which the kernel divides connections evenly, instead of one
	// queue. It is for Linux and TCP. docs/balance.md says when it helps.
	Slots bool
	// PortBase gives each worker a port of its own at the addresses in Listen
	// that end with ":{port}", as "127.0.0.1:{port}": slot 0 has this one, the
	// next slot the next, and LASTCALL_PORT says so in the worker. 0: there are
	// no such addresses. docs/ports.md says when it helps.
	PortBase int

	// Helpers are ready before the first worker starts, and are stopped when
	// the last has ended.
	Helpers []Helper

	// After is called in the parent, and never in a worker, when the last
	// worker and the last helper have ended, for whatever reason, and before
	// Run returns.
	After func()

	ReadyTimeout  time.Duration // for a worker to be ready; 0: 60 s
	DrainTimeout  time.Duration // for a worker to end its work, from being asked to the cut; 0: 25 s
	MaxRestarts   int           // of a slot in RestartWindow; one more, and it has failed. 0: 10; negative: none
	RestartWindow time.Duration // 0: 1 min

	// Socket is the path of a control socket for the verbs of the command
	// lastcall (status, inflight, restart, ...). "": none.
	Socket string
	// LeaveSignals leaves the parent's signals to the program. Otherwise,
	// while Run runs, TERM and QUIT stop everything in order, and so does INT,
	// whose second says what is waited for and whose third cuts it; HUP rolls.
	LeaveSignals bool

	// Logger gets a line for each event. It must not block for long: the
	// parent waits for it. nil: slog.Default().
	Logger *slog.Logger
	// Stdout and Stderr get the output of all that runs, a whole line a write,
	// from several goroutines at once. nil: os.Stdout, os.Stderr.
	Stdout, Stderr io.Writer
}

// A Helper is a command that the workers need: a redis, say. It is restarted
// when it ends unasked; meanwhile no worker is started. In Command, Env,
// StopCommand and Ready "{worker}" is replaced by its name, "redis.0".
type Helper struct {
	Name    string   // letters, digits, _ and -; required
	Command []string // found in PATH, or with a slash as seen from Dir; required
	Env     []string // "KEY=value", in addition to the parent's own environment
	Dir     string   // "": the parent's

	// DependsOn are the names of helpers that are ready before this one, and
	// are stopped after it.
	DependsOn []string

	// Ready is asked until the answer is go. The zero Probe: the helper says
	// READY=1 to NOTIFY_SOCKET, or it has stayed up for 1 s.
	Ready        Probe
	ReadyTimeout time.Duration // 0: 60 s

	StopSignal  syscall.Signal // 0: SIGTERM
	StopCommand []string       // asked first, and StopTimeout later, or when it fails, StopSignal
	StopTimeout time.Duration  // 0: 10 s
	KillTimeout time.Duration  // from StopSignal to SIGKILL; 0: 25 s
}

// A Probe asks whether a helper serves. At most one of HTTP, TCP, File, Exec
// and Func is set.
type Probe struct {
	HTTP string   // a URL that answers 200
	TCP  string   // HOST:PORT, or unix:PATH, that accepts
	File string   // a path that is there
	Exec []string // a command that exits 0
	// Func returns nil, in the parent. It is called again only after it has
	// returned; an error and a panic mean "not yet".
	Func func(context.Context) error

	Every   time.Duration // 0: 50 ms
	Timeout time.Duration // of one asking; 0: 2 s
}

// Run runs workers and helpers and returns, in the parent only, when the last
// of them has ended, however that came about: nil if all ended well after they
// were told to, by a signal or by the end of ctx; *ConfigError before anything
// has started; else *Error. In a worker it does not return: it calls
// Config.Worker and ends the process.
//
// It can be called once in a process, and not in a Config.Worker: it returns
// ErrCalled. It is New and Supervisor.Run.
func Run(ctx context.Context, c Config) error {
	s, err := New(c)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
