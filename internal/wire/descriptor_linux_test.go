package wire

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestPeerBringsItsDescriptor sends an end of a pair: what comes out is the same
// socket, close-on-exec, and the sender's own is left alone.
func TestPeerBringsItsDescriptor(t *testing.T) {
	parent, child := pair(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	send(t, parent, Message{Peer: &Peer{Worker: "web.1", Life: 3, FD: fds[0]}})
	if err := unix.Close(fds[0]); err != nil {
		t.Fatalf("the sender's descriptor: %v", err)
	}
	got := receive(t, child).Peer
	if got == nil {
		t.Fatal("no Peer")
	}
	defer unix.Close(got.FD)
	if flags, err := unix.FcntlInt(uintptr(got.FD), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v: a child would inherit it", flags, err)
	}
	if _, err := unix.Write(got.FD, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Read(fds[1], make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("read %d, %v at the other end", n, err)
	}
}

// TestStrayDescriptors has messages with a descriptor too many or too few: none
// stays open, and the messages after them come.
func TestStrayDescriptors(t *testing.T) {
	parent, child := pair(t)
	raw := func(m Message, fds ...int) {
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := parent.conn.WriteMsgUnix(b, unix.UnixRights(fds...), nil); err != nil {
			t.Fatal(err)
		}
	}
	before := openFiles(t)
	raw(Message{Peer: &Peer{Worker: "without"}})
	raw(Message{Peer: &Peer{Worker: "with two"}}, 0, 1)
	raw(Message{Peer: &Peer{Worker: "with many"}}, 0, 1, 2, 0, 1, 2, 0, 1, 2)
	raw(Message{Quit: &Quit{}}, 0)
	if m := receive(t, child); m.Quit == nil {
		t.Errorf("received %+v, want Quit", m)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
}
