package sock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListenerIsInertAndInheritable(t *testing.T) {
	l := listen(t, "127.0.0.1:0", Options{})
	flags, err := unix.FcntlInt(uintptr(l.FD()), unix.F_GETFL, 0)
	must(t, err)
	if flags&unix.O_NONBLOCK == 0 {
		t.Error("the socket is blocking")
	}
	flags, err = unix.FcntlInt(uintptr(l.FD()), unix.F_GETFD, 0)
	must(t, err)
	if flags&unix.FD_CLOEXEC == 0 {
		t.Error("the descriptor would be inherited unasked")
	}
	proto, err := unix.GetsockoptInt(l.FD(), unix.SOL_SOCKET, unix.SO_PROTOCOL)
	must(t, err)
	if proto != unix.IPPROTO_TCP {
		t.Errorf("protocol %d, want plain TCP", proto)
	}
	// This process runs Go's poller, so its epoll set can be looked into.
	w := inherited(t, l)
	if got := Accepting(os.Getpid(), l); got != Accepts {
		t.Errorf("with an inherited copy: sight %v", got)
	}
	must(t, w.Close())
	if Accepting(os.Getpid(), l) == Accepts {
		t.Error("the owner's descriptor is registered with the poller")
	}
}

func TestPortZeroIsResolvedForBothFamilies(t *testing.T) {
	l := listen(t, ":0", Options{})
	_, port, err := net.SplitHostPort(l.Address().Address)
	must(t, err)
	if port == "0" {
		t.Fatalf("address %s: the port is not resolved", l.Address())
	}
	for _, a := range []Address{{"tcp4", "127.0.0.1:" + port}, {"tcp6", "[::1]:" + port}} {
		dial(t, a)
	}
	until(t, "both in the queue", func() bool { n, err := l.Queued(); return n == 2 && err == nil })
}

func TestAddressInUseNamesItsHolder(t *testing.T) {
	pid := fmt.Sprintf("pid %d (", os.Getpid())
	for _, address := range []string{"127.0.0.1:0", ":0", "tcp4:0.0.0.0:0", "tcp6:[::1]:0", "unix:@" + t.Name(), socketPath(t)} {
		l := listen(t, address, Options{})
		_, err := Listen(l.Address(), Options{})
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), pid) || !strings.Contains(err.Error(), l.Address().String()) {
			t.Errorf("second listen on %s: %v; want one that names it and %q", l.Address(), err, pid)
		}
	}
}

func TestListenErrors(t *testing.T) {
	for _, a := range []Address{{}, {"udp", "127.0.0.1:0"}, {"unix", "/no/such/directory/s"}, {"tcp", "127.0.0.1"}} {
		before := openFiles(t)
		if l, err := Listen(a, Options{}); err == nil {
			l.Close()
			t.Errorf("Listen(%+v) succeeded", a)
		} else if l, err := Open(a); err == nil {
			l.Close()
			t.Errorf("Open(%+v) succeeded", a)
		}
		if n := openFiles(t); n > before {
			t.Errorf("Listen(%+v) left %d descriptors open", a, n-before)
		}
	}
}

func TestSuccessorBindsWhileConnectionsLive(t *testing.T) {
	l := listen(t, "127.0.0.1:0", Options{})
	w := inherited(t, l)
	client := dial(t, l.Address())
	server, err := w.Accept()
	must(t, err)
	defer server.Close()
	must(t, l.Quiesce())
	must(t, w.Close())
	must(t, l.Close())
	next, err := Listen(l.Address(), Options{})
	must(t, err)
	defer next.Close()
	echo(t, client, server)
}

// echo shows that a connection carries bytes both ways.
func echo(t *testing.T, client, server net.Conn) {
	t.Helper()
	for _, c := range [][2]net.Conn{{client, server}, {server, client}} {
		if _, err := c[0].Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := c[1].Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClosedListener(t *testing.T) {
	l := listen(t, "127.0.0.1:0", Options{})
	must(t, l.Close())
	must(t, l.Close())
	if l.FD() != -1 {
		t.Errorf("descriptor %d after Close", l.FD())
	}
	_, err := l.Empty()
	_, err2 := l.Queued()
	for _, err := range []error{err, err2, l.Quiesce(), l.Refuse()} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v, want net.ErrClosed", err)
		}
	}
	if _, err := net.Dial("tcp", l.Address().Address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after Close: %v, want a refusal", err)
	}
}

// A handshake that the kernel is still in the middle of belongs to the
// listener: TCP_DEFER_ACCEPT holds it there until the client sends something.
func TestEmptySeesHandshakesUnderWay(t *testing.T) {
	for _, c := range [][2]string{{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {":0", "127.0.0.1"}, {":0", "::1"}} {
		address, host := c[0], c[1]
		l := listen(t, address, Options{})
		w := inherited(t, l)
		must(t, unix.SetsockoptInt(l.FD(), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30))
		_, port, err := net.SplitHostPort(l.Address().Address)
		must(t, err)
		client := dial(t, Address{"tcp", net.JoinHostPort(host, port)})
		must(t, l.Quiesce())
		if c, err := AcceptQueued(w); c != nil || err != nil {
			t.Fatalf("%s: accepted %v, %v; want nobody yet", address, c, err)
		}
		if n, err := l.Queued(); n != 0 || err != nil {
			t.Fatalf("%s: queue %d, %v; want 0", address, n, err)
		}
		if empty, err := l.Empty(); empty || err != nil {
			t.Fatalf("%s: Empty = %v, %v with a handshake under way", address, empty, err)
		}
		if empty, err := listen(t, address, Options{}).Empty(); !empty || err != nil {
			t.Fatalf("%s: Empty = %v, %v with a handshake at another port", address, empty, err)
		}
		if empty, err := ListenerEmpty(w); empty || err != nil {
			t.Fatalf("%s: ListenerEmpty = %v, %v with a handshake under way", address, empty, err)
		}
		if err := l.Refuse(); !errors.Is(err, ErrNotEmpty) {
			t.Fatalf("%s: Refuse = %v with a handshake under way", address, err)
		}
		_, err = client.Write([]byte("x"))
		must(t, err)
		var server net.Conn
		until(t, "the client in the queue", func() bool {
			server, err = AcceptQueued(w)
			return server != nil || err != nil
		})
		must(t, err)
		server.Close()
		empty, err := l.Empty()
		empty2, err2 := ListenerEmpty(w)
		if err := errors.Join(err, err2); !empty || !empty2 || err != nil {
			t.Fatalf("%s: Empty = %v, %v, %v after the last", address, empty, empty2, err)
		}
	}
}

func TestRefuseWaitsForTheQueueAndFreesThePort(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "unix:@" + t.Name(), socketPath(t)} {
		l := listen(t, address, Options{})
		w := inherited(t, l) // a holder that keeps its copy
		client := dial(t, l.Address())
		if err := l.Refuse(); !errors.Is(err, ErrNotEmpty) {
			t.Fatalf("%s: Refuse = %v with one in the queue", address, err)
		}
		server, err := AcceptQueued(w)
		must(t, err)
		must(t, l.Refuse())
		must(t, l.Refuse())
		if empty, err := l.Empty(); !empty || err != nil {
			t.Errorf("%s: Empty = %v, %v after Refuse", address, empty, err)
		}
		if c, err := AcceptQueued(w); c != nil || err != nil {
			t.Errorf("%s: accepted %v, %v after Refuse", address, c, err)
		}
		_, err = net.Dial(l.Address().Network, l.Address().Address)
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: dial after Refuse: %v", address, err)
		}
		echo(t, client, server)
		server.Close()
		if strings.HasPrefix(l.Address().Address, "@") {
			continue // such a name is free when its last holder closes
		}
		next, err := Listen(l.Address(), Options{})
		must(t, err)
		must(t, l.Close())
		dial(t, next.Address()) // the close has not removed the successor's path
		must(t, next.Close())
	}
}

func TestQuiesceUnsupported(t *testing.T) {
	abstract := listen(t, "unix:@"+t.Name(), Options{})
	if err := abstract.Quiesce(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("abstract name: %v, want ErrUnsupported", err)
	}
}
