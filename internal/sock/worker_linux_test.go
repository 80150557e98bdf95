package sock

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestInheritLeavesTheDescriptionNonblocking(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", ":0", socketPath(t), "unix:@" + t.Name()} {
		l := listen(t, address, Options{})
		fd := dup(t, l.FD())
		before := openFiles(t)
		w, err := Inherit(fd)
		must(t, err)
		if n := openFiles(t); n != before {
			t.Errorf("%s: %d descriptors after Inherit, %d before", address, n, before)
		}
		check := func(when string) {
			flags, err := unix.FcntlInt(uintptr(l.FD()), unix.F_GETFL, 0)
			must(t, err)
			if flags&unix.O_NONBLOCK == 0 {
				t.Errorf("%s: blocking %s", address, when)
			}
		}
		check("after Inherit")
		must(t, control(w, func(fd int) error {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			if flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: a grandchild would inherit the socket", address)
			}
			return err
		}))
		must(t, w.Close())
		check("after Close")
		dial(t, l.Address()) // the owner's path is still there

		// One that came in blocking, from another supervisor.
		must(t, unix.SetNonblock(l.FD(), false))
		w, err = Inherit(dup(t, l.FD()))
		must(t, err)
		check("after the second Inherit")
		must(t, w.Close())
		must(t, l.Close())
	}
}

func TestInheritErrors(t *testing.T) {
	for _, fd := range []int{-1, 9999} {
		if _, err := Inherit(fd); !errors.Is(err, unix.EBADF) {
			t.Errorf("descriptor %d: %v, want EBADF", fd, err)
		}
	}
	f, err := os.Open(os.DevNull)
	must(t, err)
	fd := dup(t, int(f.Fd()))
	f.Close()
	if _, err := Inherit(fd); err == nil {
		t.Error("inherited /dev/null")
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor is not closed: %v", err)
	}
}

func TestAcceptQueued(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", ":0", socketPath(t), "unix:@" + t.Name()} {
		l := listen(t, address, Options{})
		w := inherited(t, l)
		a := l.Address()
		if a.Network == "tcp" {
			_, port, _ := net.SplitHostPort(a.Address)
			a.Address = "127.0.0.1:" + port
		}
		clients := []net.Conn{dial(t, a), dial(t, a), dial(t, a)}
		must(t, w.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Unix(1, 0)))
		for _, client := range clients {
			var server net.Conn
			until(t, "a connection", func() bool {
				var err error
				server, err = AcceptQueued(w)
				must(t, err)
				return server != nil
			})
			echo(t, client, server)
			must(t, server.Close())
		}
		if c, err := AcceptQueued(w); c != nil || err != nil {
			t.Errorf("%s: the queue is empty, accepted %v, %v", address, c, err)
		}
		must(t, w.Close())
		if _, err := AcceptQueued(w); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: closed: %v, want net.ErrClosed", address, err)
		}
	}
}

func TestAcceptQueuedPassesOverTheDead(t *testing.T) {
	l := listen(t, "127.0.0.1:0", Options{})
	w := inherited(t, l)
	for range 10 {
		dead := dial(t, l.Address())
		must(t, dead.(*net.TCPConn).SetLinger(0))
		must(t, dead.Close()) // by a reset
	}
	alive := dial(t, l.Address())
	var server net.Conn
	until(t, "the one alive", func() bool {
		var err error
		server, err = AcceptQueued(w)
		must(t, err)
		return server != nil
	})
	defer server.Close()
	if server.RemoteAddr().String() != alive.LocalAddr().String() {
		t.Errorf("accepted %v, want %v", server.RemoteAddr(), alive.LocalAddr())
	}
	echo(t, alive, server)
}

func TestOpen(t *testing.T) {
	path := socketPath(t)
	leaveStale(t, path)
	for _, a := range []Address{{"tcp", "127.0.0.1:0"}, unixAddress(path)} {
		l, err := Open(a)
		must(t, err)
		network, address := l.Addr().Network(), l.Addr().String()
		client, err := net.Dial(network, address)
		must(t, err)
		defer client.Close()
		must(t, QuiesceListener(l))
		var server net.Conn
		until(t, "a connection", func() bool {
			server, err = AcceptQueued(l)
			return server != nil || err != nil
		})
		must(t, err)
		echo(t, client, server)
		must(t, server.Close())
		if empty, err := ListenerEmpty(l); !empty || err != nil {
			t.Errorf("%s: ListenerEmpty = %v, %v", a, empty, err)
		}
		must(t, l.Close())
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: second Close: %v, want net's own", a, err)
		}
	}
}

func TestOpenedPathIsRemovedOnlyWhileOurs(t *testing.T) {
	path := socketPath(t)
	l, err := Open(unixAddress(path))
	must(t, err)
	must(t, l.Close())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v, want no file", err)
	}

	l, err = Open(unixAddress(path))
	must(t, err)
	must(t, QuiesceListener(l))
	next, err := Open(unixAddress(path))
	must(t, err)
	must(t, l.Close())
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's path: %v", err)
	}
	must(t, next.Close())
	if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The path of an inherited socket is its owner's to remove.
func TestQuiesceInheritedPath(t *testing.T) {
	l := listen(t, socketPath(t), Options{})
	if err := QuiesceListener(inherited(t, l)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
	dial(t, l.Address())
}
