package lastcall

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
)

// An inheritance is what a process was born with.
type inheritance struct {
	worker    string // "web.2"; "" without a supervisor
	channel   *wire.Channel
	listeners []*inherited
	notify    string        // address of the notify socket, "" for none
	watchdog  time.Duration // a ping is due this often, 0: never

	maxRequests int // after which the supervisor is told; 0: none
}

// An inherited listener is used by one server at the most.
type inherited struct {
	net.Listener
	name string
	used bool
}

// inherit takes what the process was born with: once, since descriptors have
// one owner. The variables that speak of them are removed, so that programs
// this one starts do not believe them; those that say who the worker is stay,
// for the application.
func (p *processLedger) inherit() (*inheritance, error) {
	p.claim.Lock()
	defer p.claim.Unlock()
	env, err := wire.ParseEnv(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	if p.claimed != "" {
		return nil, fmt.Errorf("take inherited sockets: those of %s went to an earlier Serve of this process", p.claimed)
	}
	in := &inheritance{}
	_, listed := os.LookupEnv(wire.EnvListeners)
	count, names := env.Listeners, []string(nil)
	switch {
	case env.Program != "" && (listed || env.Channel > 0):
		in.worker, in.maxRequests = env.Worker(), env.MaxRequests
		p.claimed = "worker " + in.worker
		for _, l := range count {
			names = append(names, l.Name)
		}
		keepStdout()
	case os.Getenv(wire.EnvListenPID) == strconv.Itoa(os.Getpid()):
		// systemd's own sockets, or those of another that speaks its protocol.
		if names, err = activated(); err != nil {
			return nil, err
		}
		p.claimed = "socket activation"
	}
	in.notify = os.Getenv(wire.EnvNotifySocket)
	in.watchdog = watchdog()
	for _, v := range []string{
		wire.EnvListenFDs, wire.EnvListenPID, wire.EnvListenFDNames, "LISTEN_PIDFDID", wire.EnvNotifySocket,
		wire.EnvWatchdogUsec, wire.EnvWatchdogPID, wire.EnvListeners, wire.EnvChannel, wire.EnvMaxRequests,
	} {
		_ = os.Unsetenv(v) // it fails for impossible names only
	}
	return in, in.open(names, env.Channel)
}

// open takes over the descriptors; on error those that were are closed.
func (in *inheritance) open(names []string, channel int) error {
	var err error
	if in.worker != "" && channel > 0 {
		if in.channel, err = wire.OpenChannel(channel); err != nil {
			return err
		}
	}
	for i, name := range names {
		l, err := sock.Inherit(wire.FirstFD + i)
		if err != nil {
			in.close()
			return fmt.Errorf("take inherited socket %q: %w", name, err)
		}
		in.listeners = append(in.listeners, &inherited{Listener: l, name: name})
	}
	return nil
}

// close closes what nobody has taken.
func (in *inheritance) close() {
	for _, l := range in.listeners {
		if !l.used {
			_ = l.Close()
		}
	}
	if in.channel != nil {
		_ = in.channel.Close()
	}
}

// maxInherited is more sockets than a process can have: Linux's limit of open
// descriptors, unless an administrator has raised it.
const maxInherited = 1 << 20

// activated reads the variables of sd_listen_fds(3).
func activated() ([]string, error) {
	n, err := strconv.Atoi(os.Getenv(wire.EnvListenFDs))
	if err != nil || n < 0 || n > maxInherited {
		return nil, fmt.Errorf("parse %s: %q is not a number of sockets", wire.EnvListenFDs, os.Getenv(wire.EnvListenFDs))
	}
	given := strings.Split(os.Getenv(wire.EnvListenFDNames), ":")
	names := make([]string, n)
	for i := range names {
		if i < len(given) {
			names[i] = given[i]
		}
	}
	return names, nil
}

// watchdog returns how often a ping is to be sent: twice as often as it must be.
func watchdog() time.Duration {
	usec, err := strconv.ParseInt(os.Getenv(wire.EnvWatchdogUsec), 10, 64)
	if pid := os.Getenv(wire.EnvWatchdogPID); err != nil || usec <= 0 || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	const most = math.MaxInt64 / int64(time.Microsecond) // longer than anybody lives
	return time.Duration(min(usec, most)) * time.Microsecond / 2
}

// keepStdout keeps the process alive when the supervisor that read its output
// is dead: writing to descriptor 1 or 2 then raises SIGPIPE. It is caught
// rather than ignored: programs this one starts would inherit that.
func keepStdout() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// listen returns the listener of a server: an inherited one, or, where none
// are, one of its own.
func (in *inheritance) listen(name, addr string) (l net.Listener, as string, err error) {
	if len(in.listeners) == 0 {
		if addr == "" {
			return nil, "", errors.New("no address")
		}
		a, err := sock.ParseAddress(addr)
		if err != nil {
			return nil, "", err
		}
		l, err := sock.Open(a)
		return l, name, err
	}
	have := in.find(name, addr)
	if have == nil {
		return nil, "", fmt.Errorf("no inherited socket is for it: there are %s", in.describe())
	}
	if have.used {
		return nil, "", fmt.Errorf("the inherited socket %q is another server's: there are %s", have.name, in.describe())
	}
	have.used = true
	return have.Listener, have.name, nil
}

// find matches by name, else takes the only one there is, else matches by
// address. It never leads to a second socket beside an inherited one.
func (in *inheritance) find(name, addr string) *inherited {
	for _, l := range in.listeners {
		if name != "" && l.name == name {
			return l
		}
	}
	if name != "" {
		return nil
	}
	if len(in.listeners) == 1 {
		return in.listeners[0]
	}
	for _, l := range in.listeners {
		if sameAddress(l.Addr(), addr) {
			return l
		}
	}
	return nil
}

func (in *inheritance) describe() string {
	var out []string
	for _, l := range in.listeners {
		out = append(out, fmt.Sprintf("%q on %s", l.name, l.Addr()))
	}
	return strings.Join(out, ", ")
}

// sameAddress reports whether a socket is what addr asks for: the same path, or
// the same port and a host that does not contradict.
func sameAddress(have net.Addr, addr string) bool {
	want, err := sock.ParseAddress(addr)
	if err != nil {
		return false
	}
	tcp, ok := have.(*net.TCPAddr)
	if !ok || want.Network == "unix" {
		return have.Network() == want.Network && have.String() == want.Address
	}
	host, port, err := net.SplitHostPort(want.Address)
	if err != nil || port != strconv.Itoa(tcp.Port) {
		return false
	}
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" && tcp.IP.IsLoopback() || ip != nil && (ip.Equal(tcp.IP) || tcp.IP.IsUnspecified() || ip.IsUnspecified())
}
