package sock

import (
	"errors"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unprivileged runs do on a thread that has no capability, as an ordinary user's
// have none. Tests are often root's, and root may do anything.
func unprivileged(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with what it has lost
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&head, &none[0]); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

func quiesceUnprivileged(l *Listener) error { return unprivileged(l.Quiesce) }

// refuseUnprivileged is what Quiesce comes to where the kernel wants privilege
// for a filter.
func refuseUnprivileged(l *Listener) error {
	return l.locked("refuse", func() error { return unprivileged(func() error { return refuseNewcomers(l.fd) }) })
}

// An ordinary user turns newcomers away, and nobody else: not who is in the
// queue, nor who is in the middle of the handshake.
func TestQuiesceWithoutPrivilege(t *testing.T) {
	for name, quiesce := range map[string]func(*Listener) error{"quiesce": quiesceUnprivileged, "refuse": refuseUnprivileged} {
		for address, host := range map[string]string{"127.0.0.1:0": "127.0.0.1", "[::1]:0": "::1", ":0": "127.0.0.1", "tcp6:[::]:0": "::1"} {
			t.Run(name+" "+address, func(t *testing.T) { testUnprivileged(t, address, host, quiesce, name == "refuse") })
		}
	}
}

func testUnprivileged(t *testing.T, address, host string, quiesce func(*Listener) error, refused bool) {
	l := listen(t, address, Options{})
	w := inherited(t, l)
	_, port, err := net.SplitHostPort(l.Address().Address)
	must(t, err)
	at := Address{"tcp", net.JoinHostPort(host, port)}
	queued := dial(t, at)
	until(t, "one in the queue", func() bool { n, err := l.Queued(); return n == 1 && err == nil })
	must(t, unix.SetsockoptInt(l.FD(), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30)) // holds handshakes half open until there are data
	underway := dial(t, at)
	must(t, quiesce(l))
	must(t, quiesce(l)) // as after an upgrade

	c, err := net.DialTimeout(at.Network, at.Address, 50*time.Millisecond)
	if err == nil {
		c.Close()
		t.Error("a newcomer is connected")
	} else if refused && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a newcomer got %v, want a refusal", err)
	}
	if empty, err := l.Empty(); empty || err != nil {
		t.Errorf("empty %v, %v, with two on their way", empty, err)
	}
	_, err = underway.Write([]byte("x"))
	must(t, err)
	for _, client := range []net.Conn{queued, underway} {
		until(t, "somebody in the queue", func() bool { n, err := l.Queued(); return n > 0 && err == nil })
		server, err := AcceptQueued(w)
		must(t, err)
		defer server.Close()
		if client == underway {
			_, err := server.Read(make([]byte, 1))
			must(t, err)
		}
		echo(t, client, server)
	}
	if empty, err := l.Empty(); !empty || err != nil {
		t.Errorf("empty %v, %v, with both accepted", empty, err)
	}
	if _, err := Listen(l.Address(), Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second socket at the address: %v", err)
	}
	must(t, l.Refuse())
	next := listen(t, l.Address().String(), Options{})
	dial(t, Address{"tcp", at.Address})
	must(t, next.Close())
}

// An ordinary user's listener without an owner, as of a server of its own.
func TestQuiesceListenerWithoutPrivilege(t *testing.T) {
	l, err := Open(Address{"tcp", "127.0.0.1:0"})
	must(t, err)
	defer l.Close()
	must(t, unprivileged(func() error { return QuiesceListener(l) }))
	if c, err := net.DialTimeout("tcp", l.Addr().String(), 50*time.Millisecond); err == nil {
		c.Close()
		t.Error("a newcomer is connected")
	}
}

// Nobody who got a connection loses it, in 25 closings by an ordinary user.
func TestCloseWithoutPrivilegeLosesNobody(t *testing.T) {
	_, port, err := net.SplitHostPort(freePort(t).Address)
	must(t, err)
	for _, a := range []Address{freePort(t), {"tcp", ":" + port}} {
		if err := cycles(t, a, 25, refuseUnprivileged); err != nil {
			t.Errorf("%s: a client was connected and then got: %v", a, err)
		}
	}
}

// A socket that somebody has bound to a device can be quiesced with privilege
// only; the error says what to do.
func TestQuiesceOfADeviceWithoutPrivilege(t *testing.T) {
	l := listen(t, "127.0.0.1:0", Options{})
	if err := unix.BindToDevice(l.FD(), "lo"); err != nil {
		t.Skip("binding to a device: ", err)
	}
	err := quiesceUnprivileged(l)
	if err == nil {
		t.Skip("this kernel attaches filters for everybody")
	}
	if !errors.Is(err, syscall.EPERM) {
		t.Errorf("%v, want EPERM", err)
	}
	t.Log(err)
	must(t, l.Quiesce())
}
