// Package supervisor is the shell around the core in package pool: one
// goroutine that feeds it events and carries out its actions, one timer, and
// the sockets, processes, probes and operators' requests they are about.
package supervisor

import (
	"os"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
)

// Config is everything a supervisor runs. It is plain data; package config
// makes and validates it.
type Config struct {
	Name      string     // for people, and for the control socket's default path
	Listeners []Listener // bound before anything starts, in order
	Programs  []Program  // in the order of the configuration
	Socket    string     // path of the control socket; "": none
	PIDFile   string     // "": none
	Log       string     // file for the log and the workers' output; "": the caller's streams
}

// Listener is one named listening socket.
type Listener struct {
	Name    string
	Address sock.Address
	Mode    os.FileMode // of a unix socket; 0: 0o666 less the umask
	MPTCP   bool
	Each    bool   // slot has a port of its own: Address is that of slot 0, the next is one higher
	Where   string // it was asked for, for errors: "lastcall.toml:3", "--listen"
}

// Program is one command, run as Workers processes.
type Program struct {
	Name      string
	Command   []string // as configured: the name looked for, and its arguments
	Verbatim  bool     // nothing is substituted in Command
	Path      string   // the executable that was found
	Env       []string // "KEY=value" in addition to the supervisor's own
	Dir       string   // "": the supervisor's
	User      string   // "": the supervisor's
	Workers   int
	Listen    []string // names of Listeners, in the order they are passed
	Balance   string   // Shared or Slots; "": Shared
	ListenEnv []wire.Family
	PortBase  int      // slot 0's own port, the next slot's is one higher; 0: they have none
	DependsOn []string // names of Programs that must be ready first and end last

	Ready        *gate.Spec // nil: ReadyBy tells
	ReadyBy      ReadyBy
	ReadyTimeout time.Duration
	MinUptime    time.Duration // for readiness by staying up
	Proven       time.Duration // a new worker must have been ready so long before a roll ends the old one

	Gates []gate.Spec // asked before a worker may end

	CloseSignal syscall.Signal // asked first of all, to take no newcomers; 0: none
	StopSignal  syscall.Signal
	StopSteps   []StopStep    // what follows StopSignal
	StopCommand []string      // asked first, before StopSignal
	StopTimeout time.Duration // from StopCommand to StopSignal

	LameDuck      time.Duration // on a stop, serves on for so long before its listeners close
	LameDuckQuiet time.Duration // ends that early, when no request has come for so long; 0: never

	Drain           wire.Policy
	DrainTimeout    time.Duration
	DrainTimeoutMax time.Duration // how long a worker may make that by asking; less: it cannot
	UnwindTimeout   time.Duration // 0: the worker's own
	FreshGrace      time.Duration // 0: the worker's own
	ExpendableGrace time.Duration // 0: the worker's own
	StallTimeout    time.Duration // 0: the worker's own

	Restart       string // "always", "on-failure" or "never"
	MaxRestarts   int    // within RestartWindow; then the slot has failed
	RestartWindow time.Duration

	// A worker that reaches one of these is replaced; 0: none. Jitter is how
	// much is added at most, by chance, so that workers of one age do not go
	// together.
	MaxRequests       int // of workers of the Go package
	MaxRequestsJitter int
	MaxAge            time.Duration
	MaxAgeJitter      time.Duration
	MaxMemory         int64 // bytes resident, of the worker and all it has started
	MaxMemoryJitter   int64
	Watchdog          time.Duration // without WATCHDOG=1
	MaxSurge          int           // extra lives during a roll; 0: stop first
	MaxDraining       int           // old lives draining at once during a roll; 0: Workers
}

// StopStep is a signal to a worker that has not ended After the one before.
type StopStep struct {
	After  time.Duration
	Signal syscall.Signal
}
