package wire

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The names of the environment variables a worker is born with. The LISTEN
// ones are systemd's (sd_listen_fds(3)); LISTEN_PID is written by the exec
// shim, since only the process itself knows its pid before it runs.
const (
	EnvListenFDs     = "LISTEN_FDS"
	EnvListenPID     = "LISTEN_PID"
	EnvListenFDNames = "LISTEN_FDNAMES"
	EnvNotifySocket  = "NOTIFY_SOCKET"
	EnvWatchdogUsec  = "WATCHDOG_USEC"
	EnvWatchdogPID   = "WATCHDOG_PID"
	EnvWorker        = "LASTCALL_WORKER"
	EnvSlot          = "LASTCALL_SLOT"
	EnvWorkers       = "LASTCALL_WORKERS"
	EnvGeneration    = "LASTCALL_GENERATION"
	EnvLife          = "LASTCALL_LIFE"
	EnvPort          = "LASTCALL_PORT"
	EnvListeners     = "LASTCALL_LISTENERS"
	EnvChannel       = "LASTCALL_CHANNEL"
	EnvMaxRequests   = "LASTCALL_MAX_REQUESTS"
	EnvDrainUsec     = "LASTCALL_DRAIN_USEC"
)

// IsSaid tells whether a variable is one by which a supervisor speaks to a process
// it starts: of systemd's protocols, or lastcall's own. LISTEN_ADDR and the like are
// not, by which people configure servers.
func IsSaid(name string) bool {
	switch name {
	case EnvListenFDs, EnvListenPID, EnvListenFDNames, "LISTEN_PIDFDID", EnvNotifySocket, EnvWatchdogUsec, EnvWatchdogPID:
		return true
	}
	return strings.HasPrefix(name, "LASTCALL_")
}

// FirstFD is the number of the first inherited listening socket.
const FirstFD = 3

// A Listener is one inherited listening socket: its name in the
// configuration, and the address it is bound to.
type Listener struct {
	Name    string
	Network string // "tcp", "tcp4", "tcp6" or "unix"
	Address string
}

// Env is what a supervisor tells a worker at birth. The listeners are the
// descriptors from FirstFD on, in order; Channel is the descriptor of the
// channel, 0 for none.
type Env struct {
	Program    string
	Slot       int
	Workers    int
	Generation int
	Life       int
	Port       int // that is the slot's own; 0: none
	Listeners  []Listener
	Channel    int
	Notify     string

	// MaxRequests is after how many requests the worker says that it is Worn;
	// 0: never.
	MaxRequests int
	// Watchdog is how long it may stay without a sign of life; 0: as long as
	// it likes. It is not read by ParseEnv: sd_watchdog_enabled(3) says how.
	Watchdog time.Duration
	// DrainTimeout is how long it may take from its stop signal to its end, so
	// that it can cut by itself what would be killed; 0: nobody says. It is not
	// read by ParseEnv: a worker with a channel is told in its Drain.
	DrainTimeout time.Duration
}

// Worker returns the worker's name, "web.2".
func (e Env) Worker() string { return fmt.Sprintf("%s.%d", e.Program, e.Slot) }

// Encode returns the variables as "KEY=value", in a fixed order. LISTEN_PID is
// not among them.
func (e Env) Encode() []string {
	out := []string{
		EnvWorker + "=" + e.Worker(),
		EnvSlot + "=" + strconv.Itoa(e.Slot),
		EnvWorkers + "=" + strconv.Itoa(e.Workers),
		EnvGeneration + "=" + strconv.Itoa(e.Generation),
		EnvLife + "=" + strconv.Itoa(e.Life),
	}
	if e.Port > 0 {
		out = append(out, EnvPort+"="+strconv.Itoa(e.Port))
	}
	names, listeners := make([]string, len(e.Listeners)), make([]string, len(e.Listeners))
	for i, l := range e.Listeners {
		names[i] = l.Name
		listeners[i] = l.Name + "=" + l.Network + ":" + l.Address
	}
	// Set even where there are none: an empty value tells the package that it
	// has a supervisor which passes no sockets.
	out = append(out, EnvListeners+"="+strings.Join(listeners, ";"))
	if len(e.Listeners) > 0 {
		out = append(out,
			EnvListenFDs+"="+strconv.Itoa(len(e.Listeners)),
			EnvListenFDNames+"="+strings.Join(names, ":"))
	}
	if e.Channel > 0 {
		out = append(out, EnvChannel+"="+strconv.Itoa(e.Channel))
	}
	if e.Notify != "" {
		out = append(out, EnvNotifySocket+"="+e.Notify)
	}
	if e.MaxRequests > 0 {
		out = append(out, EnvMaxRequests+"="+strconv.Itoa(e.MaxRequests))
	}
	if e.Watchdog > 0 {
		// Without WATCHDOG_PID: whoever is asked first may answer.
		out = append(out, EnvWatchdogUsec+"="+strconv.FormatInt(e.Watchdog.Microseconds(), 10))
	}
	if e.DrainTimeout > 0 {
		out = append(out, EnvDrainUsec+"="+strconv.FormatInt(e.DrainTimeout.Microseconds(), 10))
	}
	return out
}

// ParseEnv reads the environment of a worker through lookup (os.LookupEnv).
// Without a supervisor (no LASTCALL_WORKER) it returns the zero Env and nil.
func ParseEnv(lookup func(string) (string, bool)) (Env, error) {
	worker, ok := lookup(EnvWorker)
	if !ok || worker == "" {
		return Env{}, nil
	}
	var e Env
	dot := strings.LastIndexByte(worker, '.')
	if dot <= 0 {
		return Env{}, fmt.Errorf("parse %s: %q is not PROGRAM.SLOT", EnvWorker, worker)
	}
	e.Program = worker[:dot]
	var err error
	if e.Slot, err = strconv.Atoi(worker[dot+1:]); err != nil || e.Slot < 0 {
		return Env{}, fmt.Errorf("parse %s: %q is not PROGRAM.SLOT", EnvWorker, worker)
	}
	for _, n := range []struct {
		name string
		to   *int
	}{{EnvWorkers, &e.Workers}, {EnvGeneration, &e.Generation}, {EnvLife, &e.Life}, {EnvPort, &e.Port}, {EnvChannel, &e.Channel}, {EnvMaxRequests, &e.MaxRequests}} {
		v, ok := lookup(n.name)
		if !ok || v == "" {
			continue
		}
		if *n.to, err = strconv.Atoi(v); err != nil || *n.to < 0 {
			return Env{}, fmt.Errorf("parse %s: %q is not a number", n.name, v)
		}
	}
	list, _ := lookup(EnvListeners)
	if e.Listeners, err = parseListeners(list); err != nil {
		return Env{}, err
	}
	e.Notify, _ = lookup(EnvNotifySocket)
	return e, nil
}

func parseListeners(list string) ([]Listener, error) {
	if list == "" {
		return nil, nil
	}
	var out []Listener
	for part := range strings.SplitSeq(list, ";") {
		name, at, ok := strings.Cut(part, "=")
		network, address, ok2 := strings.Cut(at, ":")
		if !ok || !ok2 || name == "" || network == "" {
			return nil, fmt.Errorf("parse %s: %q is not NAME=NETWORK:ADDRESS", EnvListeners, part)
		}
		out = append(out, Listener{Name: name, Network: network, Address: address})
	}
	return out, nil
}
