package handoff

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestPair has what travels over a channel: ends of messages, that no child
// inherits, and that tell when the other is gone.
func TestPair(t *testing.T) {
	sender, receiver, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(receiver)
	for _, fd := range []int{sender, receiver} {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || own&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %v: every child would inherit it", own, err)
		}
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil || kind != unix.SOCK_SEQPACKET {
			t.Errorf("type %d, %v", kind, err)
		}
	}
	unix.Close(sender)
	if n, err := unix.Read(receiver, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("read %d, %v; want the end", n, err)
	}
}
