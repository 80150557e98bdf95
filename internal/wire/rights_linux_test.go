package wire

import (
	"os"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// openDescriptors returns the numbers of this process's descriptors.
func openDescriptors(t *testing.T) []int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, e := range list {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil { // not that of the list itself
			out = append(out, fd)
		}
	}
	return out
}

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p[0], p[1]
}

func TestADescriptorTravels(t *testing.T) {
	parent, child := pair(t)
	r, w := pipe(t)
	send(t, parent, Message{Peer: &Peer{Worker: "web.1", Life: 3, Offer: true, FD: w}})
	p := receive(t, child).Peer
	if p == nil || p.Worker != "web.1" || p.Life != 3 || !p.Offer || p.FD == w {
		t.Fatalf("received %+v", p)
	}
	defer unix.Close(p.FD)
	flags, err := unix.FcntlInt(uintptr(p.FD), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v: every child would inherit it", flags, err)
	}
	if _, err := unix.Write(p.FD, []byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := unix.Read(r, make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("%d bytes, %v: it is another descriptor", n, err)
	}
	if _, err := unix.FcntlInt(uintptr(w), unix.F_GETFD, 0); err != nil {
		t.Errorf("the sender's own is gone: %v", err)
	}
	if err := parent.Send(Message{Peer: &Peer{FD: -1}}); err == nil {
		t.Error("sent a descriptor that there is not")
	}
}

// Nothing that comes unasked stays open, and no Peer is believed without its
// one descriptor.
func TestOtherDescriptorsAreClosed(t *testing.T) {
	parent, child := pair(t)
	r, w := pipe(t)
	before := openDescriptors(t)
	for _, c := range []struct {
		text string
		fds  []int
	}{
		{`{"ready":{}}`, []int{r}},
		{`{"ready":{}}`, []int{r, w, r, w}},
		{`{"peer":{}}`, []int{r, w}},
		{`{"peer":{}}`, []int{r, w, r, w}},
		{`{"peer":{}}`, nil},
		{`{"peer":7}`, []int{r}},
		{`{`, []int{r}},
	} {
		var beside []byte
		if c.fds != nil {
			beside = unix.UnixRights(c.fds...)
		}
		if _, _, err := parent.conn.WriteMsgUnix([]byte(c.text), beside, nil); err != nil {
			t.Fatal(err)
		}
		if c.text == `{"ready":{}}` {
			if m := receive(t, child); m.Ready == nil {
				t.Errorf("received %+v, want Ready", m)
			}
		}
	}
	send(t, parent, Message{Quit: &Quit{}})
	if m := receive(t, child); m.Quit == nil {
		t.Errorf("received %+v, want Quit", m)
	}
	if after := openDescriptors(t); !slices.Equal(before, after) {
		t.Errorf("open before %v, and after %v", before, after)
	}
}

// A process that can have no more descriptors gets a Peer without one: it is
// passed over, and the channel goes on.
func TestNoRoomForADescriptor(t *testing.T) {
	parent, child := pair(t)
	_, w := pipe(t)
	all := openDescriptors(t)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	send(t, parent, Message{Peer: &Peer{Worker: "web.1", FD: w}})
	lowest := 0
	for slices.Contains(all, lowest) {
		lowest++
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(lowest), Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	send(t, parent, Message{Quit: &Quit{}})
	m := receive(t, child)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if m.Quit == nil {
		t.Errorf("received %+v, want Quit", m)
	}
	send(t, parent, Message{Peer: &Peer{Worker: "web.1", FD: w}})
	if p := receive(t, child).Peer; p == nil {
		t.Error("the next is lost too")
	} else {
		unix.Close(p.FD)
	}
}
