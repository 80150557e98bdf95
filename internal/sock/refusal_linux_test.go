package sock

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Newcomers are refused, and for a holder that goes on nothing else changes: who
// is in the queue is served, and an accept finds nobody, not an error. A port stays
// taken, for others than Listen.
func TestRefuseNewcomersLeavesHoldersAlone(t *testing.T) {
	for name, refuse := range map[string]func(*Listener) error{
		"alone":           (*Listener).RefuseNewcomers,
		"quiesced before": func(l *Listener) error { return errors.Join(l.Quiesce(), l.RefuseNewcomers()) },
		"an ordinary user's": func(l *Listener) error {
			return unprivileged(func() error { return errors.Join(l.Quiesce(), l.RefuseNewcomers()) })
		},
	} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0", "tcp6:[::]:0", socketPath(t)} {
			t.Run(name+" "+address, func(t *testing.T) {
				l := listen(t, address, Options{})
				testRefuseNewcomers(t, l, refuse)
			})
		}
	}
}

func testRefuseNewcomers(t *testing.T, l *Listener, refuse func(*Listener) error) {
	w := inherited(t, l)
	ways := waysTo(t, l)
	var clients []net.Conn
	for _, way := range ways {
		clients = append(clients, dial(t, way))
	}
	until(t, "all in the queue", func() bool {
		n, err := l.Queued()
		must(t, err)
		return n == len(ways)
	})
	must(t, refuse(l))
	must(t, refuse(l))
	for _, way := range ways {
		c, err := net.Dial(way.Network, way.Address)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a newcomer to %s got %v, want a refusal", way, err)
		}
	}
	must(t, l.Close())
	for _, client := range clients {
		server, err := AcceptQueued(w)
		must(t, err)
		if server == nil {
			t.Fatal("nobody is in the queue any more")
		}
		echo(t, client, server)
		server.Close()
	}
	if _, err := acceptOne(w); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("accept with nobody left: %v, want EAGAIN", err)
	}
	if l.Address().Network == "unix" {
		return
	}
	if _, err := net.Listen(l.Address().Network, l.Address().Address); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("somebody else's socket at the address: %v", err)
	}
}

// waysTo returns how clients of each family come to a socket.
func waysTo(t *testing.T, l *Listener) []Address {
	a := l.Address()
	if a.Network == "unix" {
		return []Address{a}
	}
	host, port, err := net.SplitHostPort(a.Address)
	must(t, err)
	if host != "::" {
		return []Address{a}
	}
	ways := []Address{{"tcp6", net.JoinHostPort("::1", port)}}
	if a.Network == "tcp" {
		ways = append(ways, Address{"tcp4", net.JoinHostPort("127.0.0.1", port)})
	}
	return ways
}

func TestRefuseNewcomersUnsupported(t *testing.T) {
	if err := listen(t, "unix:@"+t.Name(), Options{}).RefuseNewcomers(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("abstract name: %v, want ErrUnsupported", err)
	}
}

// What was quiesced and then refused is open again when both are taken back.
func TestUnquiesceOfARefusal(t *testing.T) {
	l := listen(t, "127.0.0.1:0", Options{})
	w := inherited(t, l)
	must(t, l.Quiesce())
	must(t, l.RefuseNewcomers())
	if err := l.Unquiesce(); errors.Is(err, os.ErrPermission) {
		t.Skip(err)
	} else {
		must(t, err)
	}
	client := dial(t, l.Address())
	server, err := AcceptQueued(w)
	must(t, err)
	defer server.Close()
	echo(t, client, server)
}

// MPTCP takes no filter; so newcomers are refused, and who is in the queue is
// served.
func TestQuiesceMPTCP(t *testing.T) {
	l := listen(t, "127.0.0.1:0", Options{MPTCP: true})
	proto, err := unix.GetsockoptInt(l.FD(), unix.SOL_SOCKET, unix.SO_PROTOCOL)
	must(t, err)
	if proto != unix.IPPROTO_MPTCP {
		t.Skip("the kernel has no MPTCP")
	}
	for name, quiesce := range map[string]func(*Listener) error{"root's": (*Listener).Quiesce, "an ordinary user's": quiesceUnprivileged} {
		t.Run(name, func(t *testing.T) {
			for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
				testRefuseNewcomers(t, listen(t, address, Options{MPTCP: true}), quiesce)
			}
		})
	}
}
