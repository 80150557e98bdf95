package steer

import (
	"errors"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/sock"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// group is one of n sockets, at a port of the kernel's choice.
func group(t *testing.T, n int) *Group {
	t.Helper()
	l, err := sock.Listen(sock.Address{Network: "tcp", Address: "127.0.0.1:0"}, sock.Options{})
	must(t, err)
	g := New(l)
	t.Cleanup(func() { g.Close() })
	for i := 1; i < n; i++ {
		number, err := g.Join()
		must(t, err)
		if number != i {
			t.Fatalf("socket %d has number %d", i, number)
		}
	}
	return g
}

// knock has n clients connect, and returns how many came to each socket,
// accepting none of them.
func knock(t *testing.T, g *Group, n int) map[int]int {
	t.Helper()
	before := queued(t, g)
	for range n {
		c, err := net.DialTimeout("tcp", g.Address().Address, 20*time.Second)
		must(t, err)
		t.Cleanup(func() { c.Close() })
	}
	// The handshake ends for the client before it does for the server.
	limit := time.After(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; {
		after, sum := queued(t, g), 0
		for number := range after {
			after[number] -= before[number]
			sum += after[number]
		}
		if sum == n {
			return after
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d of %d have come: %v", sum, n, after)
		}
	}
}

func queued(t *testing.T, g *Group) map[int]int {
	t.Helper()
	out := make(map[int]int)
	for _, h := range g.HandOver() {
		n, err := g.Socket(h.Number).Queued()
		must(t, err)
		out[h.Number] = n
	}
	return out
}

func TestSteerIsObeyed(t *testing.T) {
	g := group(t, 4)
	for _, to := range [][]int{{0}, {3}, {1, 2}, {0, 1, 2, 3}} {
		must(t, g.Steer(to))
		const each = 60
		for number, n := range knock(t, g, each*len(to)) {
			switch chosen := slices.Contains(to, number); {
			case !chosen && n > 0:
				t.Errorf("steered to %v, %d came to %d", to, n, number)
			case chosen && (n < each/3 || n > each*2): // six standard deviations
				t.Errorf("steered to %v, %d of %d came to %d", to, n, each*len(to), number)
			}
		}
	}
	must(t, g.Steer(nil))
	if got := knock(t, g, 120); len(got) != 4 || got[0] == 0 || got[3] == 0 {
		t.Errorf("steered to nobody, they came to %v", got)
	}
}

// Nobody comes to a socket that has joined before it is steered to.
func TestJoinedWaitsForSteer(t *testing.T) {
	g := group(t, 2)
	if got := knock(t, g, 30); got[1] != 0 {
		t.Errorf("%v", got)
	}
}

// Whichever sockets are removed, in whatever order, the others are found where
// the kernel has moved them.
func TestRemovedOnesLeaveHoles(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {3, 2, 1}, {1, 3, 0}, {2, 0, 3}} {
		g := group(t, 4)
		for _, gone := range order {
			must(t, g.Leave(gone))
			_, err := g.Socket(gone).QuiesceOne()
			must(t, err)
			must(t, g.Remove(gone))
			for _, number := range g.Numbers() {
				must(t, g.Steer([]int{number}))
				if got := knock(t, g, 10); got[number] != 10 {
					t.Errorf("removed %v up to %d: steered to %d, they came to %v", order, gone, number, got)
				}
			}
		}
		if err := g.Remove(g.Numbers()[0]); err == nil {
			t.Error("the last one is removed")
		}
		number, err := g.Join()
		must(t, err)
		must(t, g.Steer([]int{number}))
		if got := knock(t, g, 10); got[number] != 10 {
			t.Errorf("removed %v and joined: %v", order, got)
		}
	}
}

// A holder that keeps its copy keeps no place in the group.
func TestRemoveDespiteOthers(t *testing.T) {
	g := group(t, 3)
	fd, err := unix.FcntlInt(uintptr(g.Socket(0).FD()), unix.F_DUPFD_CLOEXEC, 3)
	must(t, err)
	defer unix.Close(fd)
	must(t, g.Leave(0))
	must(t, g.Remove(0))
	for _, number := range []int{1, 2} {
		must(t, g.Steer([]int{number}))
		if got := knock(t, g, 10); got[number] != 10 {
			t.Errorf("steered to %d: %v", number, got)
		}
	}
}

// The remainder of a socket is who was in its queue.
func TestLeaveWaitsForTheQueue(t *testing.T) {
	g := group(t, 2)
	must(t, g.Steer([]int{1}))
	knock(t, g, 1)
	must(t, g.Leave(1))
	rest, err := g.Socket(1).QuiesceOne()
	must(t, err)
	if empty, err := rest.Empty(); empty || err != nil {
		t.Fatalf("empty %v, %v, with one in its queue", empty, err)
	}
	knock(t, g, 1) // somewhere else: not its business
	c, _, err := unix.Accept(g.Socket(1).FD())
	must(t, err)
	unix.Close(c)
	if empty, err := rest.Empty(); !empty || err != nil {
		t.Errorf("empty %v, %v, when that has been accepted", empty, err)
	}
}

func TestAdoptGoesOn(t *testing.T) {
	old := group(t, 3)
	must(t, old.Leave(1))
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
	if got := g.Numbers(); !slices.Equal(got, []int{0, 2}) {
		t.Errorf("sockets %v", got)
	}
	must(t, g.Remove(1))
	must(t, g.Steer([]int{2}))
	if got := knock(t, g, 10); got[2] != 10 {
		t.Errorf("%v", got)
	}
	if number, err := g.Join(); number != 3 || err != nil {
		t.Errorf("the next is %d, %v", number, err)
	}
	if _, err := Adopt(nil); err == nil {
		t.Error("a group of none")
	}
}

// Nobody joins an address that is not meant for it: not a unix socket, nor one
// that another has bound.
func TestJoinRefused(t *testing.T) {
	l, err := sock.Listen(sock.Address{Network: "unix", Address: t.TempDir() + "/s"}, sock.Options{})
	must(t, err)
	g := New(l)
	defer g.Close()
	if _, err := g.Join(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	a := group(t, 2)
	if l, err := sock.Listen(a.Address(), sock.Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listen beside a group: %v, %v", l, err)
	}
	if before, err := os.ReadDir("/proc/self/fd"); err == nil {
		must(t, a.Close())
		if after, err := os.ReadDir("/proc/self/fd"); err == nil && len(after) != len(before)-2 {
			t.Errorf("%d descriptors, %d before two were closed", len(after), len(before))
		}
	}
}

// A handshake that had begun is waited for; others at the port, which begin all
// the time, are not.
func TestLeaveWaitsForHandshakes(t *testing.T) {
	g := group(t, 2)
	for number := range 2 { // which holds handshakes half open until there are data
		must(t, unix.SetsockoptInt(g.Socket(number).FD(), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30))
	}
	dial := func(to int) net.Conn {
		must(t, g.Steer([]int{to}))
		c, err := net.DialTimeout("tcp", g.Address().Address, 20*time.Second)
		must(t, err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	mine := dial(1)
	must(t, g.Leave(1))
	rest, err := g.Socket(1).QuiesceOne()
	must(t, err)
	dial(0)
	if empty, err := rest.Empty(); empty || err != nil {
		t.Fatalf("empty %v, %v, with a handshake under way", empty, err)
	}
	_, err = mine.Write([]byte("x"))
	must(t, err)
	limit := time.After(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; {
		fd, _, err := unix.Accept(g.Socket(1).FD())
		if err == nil {
			unix.Close(fd)
			break
		}
		if empty, _ := rest.Empty(); empty {
			t.Fatal("empty before it was accepted")
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("accept: %v", err)
		}
	}
	if empty, err := rest.Empty(); !empty || err != nil {
		t.Errorf("empty %v, %v, with another's handshake under way", empty, err)
	}
}
