package wire

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A Family is a way, besides systemd's, in which servers look in their
// environment for the sockets they inherit.
type Family string

// The families. Einhorn is that of einhorn's manager, without its control
// socket; ServerStarter that of Server::Starter.
const (
	Einhorn       Family = "einhorn"
	ServerStarter Family = "server-starter"
)

// Families returns all there are.
func Families() []Family { return []Family{Einhorn, ServerStarter} }

// EncodeFor returns the variables of a family as "KEY=value", in a fixed order;
// none if no sockets are passed. parent is the pid of the process that starts
// the worker: einhorn's workers compare it with their parent's.
func (e Env) EncodeFor(f Family, parent int) []string {
	if len(e.Listeners) == 0 {
		return nil
	}
	switch f {
	case Einhorn:
		out := []string{
			"EINHORN_MASTER_PID=" + strconv.Itoa(parent),
			"EINHORN_CHILD_INDEX=" + strconv.Itoa(e.Slot),
			"EINHORN_FD_COUNT=" + strconv.Itoa(len(e.Listeners)),
		}
		for i := range e.Listeners {
			out = append(out, fmt.Sprintf("EINHORN_FD_%d=%d", i, FirstFD+i))
		}
		return out
	case ServerStarter:
		ports := make([]string, len(e.Listeners))
		for i, l := range e.Listeners {
			ports[i] = fmt.Sprintf("%s=%d", l.portOrAddress(), FirstFD+i)
		}
		return []string{
			"SERVER_STARTER_PORT=" + strings.Join(ports, ";"),
			"SERVER_STARTER_GENERATION=" + strconv.Itoa(e.Generation),
		}
	}
	panic("wire: unknown family " + string(f))
}

// portOrAddress is the port alone of a socket on every address, as
// Server::Starter names those.
func (l Listener) portOrAddress() string {
	host, port, err := net.SplitHostPort(l.Address)
	if l.Network == "unix" || err != nil {
		return l.Address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return port
	}
	return l.Address
}
