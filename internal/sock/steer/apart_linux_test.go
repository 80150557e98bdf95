package steer

import (
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/sock"
)

// apart is a group of n sockets at an address each.
func apart(t *testing.T, n int) *Group {
	t.Helper()
	g := group(t, 1)
	for i := 1; i < n; i++ {
		l, err := sock.Listen(sock.Address{Network: "tcp", Address: "127.0.0.1:0"}, sock.Options{})
		must(t, err)
		if number := g.Add(l); number != i {
			t.Fatalf("socket %d has number %d", i, number)
		}
	}
	return g
}

func dial(t *testing.T, g *Group, number int, timeout time.Duration) error {
	t.Helper()
	c, err := net.DialTimeout("tcp", g.Socket(number).Address().Address, timeout)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return err
}

// Who has an address of his own gets those that dial it, whatever is steered.
func TestApartNobodyIsSteered(t *testing.T) {
	g := apart(t, 3)
	must(t, g.Steer([]int{0}))
	for number := range 3 {
		must(t, dial(t, g, number, 20*time.Second))
	}
	if got := queued(t, g); got[0] != 1 || got[1] != 1 || got[2] != 1 {
		t.Errorf("%v", got)
	}
	for _, number := range []int{0, 1, 2} {
		if empty, err := g.Empty(); empty || err != nil {
			t.Errorf("empty %v, %v, with somebody in %d", empty, err, number)
		}
		fd, _, err := unix.Accept(g.Socket(number).FD())
		must(t, err)
		unix.Close(fd)
	}
	if empty, err := g.Empty(); !empty || err != nil {
		t.Errorf("empty %v, %v", empty, err)
	}
}

// A socket that was left, and wanted again, takes newcomers as before, and
// Remove closes the one it is asked to, after others were.
func TestApartReturns(t *testing.T) {
	g := apart(t, 3)
	must(t, g.Leave(1))
	_, err := g.Socket(1).QuiesceOne()
	must(t, err)
	if err := dial(t, g, 1, 100*time.Millisecond); err == nil {
		t.Error("somebody comes to a socket that is quiesced")
	}
	must(t, g.Return(1))
	must(t, g.Return(1)) // nothing is left to take back
	must(t, dial(t, g, 1, 20*time.Second))
	if got := g.Numbers(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("sockets %v", got)
	}
	at := g.Socket(0).Address().Address
	must(t, g.Leave(0))
	must(t, g.Remove(0))
	if c, err := net.DialTimeout("tcp", at, 20*time.Second); err == nil {
		c.Close()
		t.Error("somebody is at an address that was closed")
	}
	must(t, dial(t, g, 2, 20*time.Second))
	if err := g.Return(0); err == nil {
		t.Error("a socket that is closed is returned to")
	}
}

func TestAdoptApart(t *testing.T) {
	old := apart(t, 2)
	handed := old.HandOver()
	for i := range handed { // as an exec would leave them
		fd, err := unix.FcntlInt(uintptr(handed[i].Socket.FD), unix.F_DUPFD_CLOEXEC, 3)
		must(t, err)
		handed[i].Socket.FD = fd
	}
	g, err := Adopt(handed)
	must(t, err)
	defer g.Close()
	must(t, old.Close())
	must(t, g.Steer([]int{1})) // it must not try: there is no group in the kernel
	must(t, dial(t, g, 0, 20*time.Second))
	must(t, dial(t, g, 1, 20*time.Second))
	if got := queued(t, g); got[0] != 1 || got[1] != 1 {
		t.Errorf("%v", got)
	}
}
