package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// pair returns both ends of a channel, open.
func pair(t *testing.T) (parent, child *Channel) {
	t.Helper()
	parent, fd, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	child, err = OpenChannel(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parent.Close(); child.Close() })
	return parent, child
}

func send(t *testing.T, c *Channel, messages ...Message) {
	t.Helper()
	if err := c.Send(messages...); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c *Channel) Message {
	t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	m, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPairPassesAPlainDescriptor(t *testing.T) {
	parent, fd, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	defer unix.Close(fd)
	own, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || own&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v: it would be inherited by every child", own, err)
	}
	shared, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || shared&unix.O_NONBLOCK == 0 {
		t.Errorf("status flags %#x, %v: an event loop that writes to it would stop with its reader", shared, err)
	}
}

func TestChannelCarriesMessagesBothWays(t *testing.T) {
	parent, child := pair(t)
	for i, m := range everyMessage() {
		m.Version = Version
		if m.Peer != nil {
			continue // see TestADescriptorTravels
		}
		from, to := parent, child
		if i%2 == 1 {
			from, to = child, parent
		}
		send(t, from, m)
		got := receive(t, to)
		if got.Peer != nil { // its descriptor is another one here
			unix.Close(got.Peer.FD)
			got.Peer.FD = m.Peer.FD
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("message %d (-sent +received):\n%s", i, diff)
		}
	}
}

func TestChannelEndsWithEOF(t *testing.T) {
	parent, child := pair(t)
	send(t, child, Message{Drained: &Drained{Finished: 7}})
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, parent); m.Drained == nil || m.Drained.Finished != 7 {
		t.Errorf("received %+v, want the last words", m)
	}
	if m, err := parent.Receive(); err != io.EOF {
		t.Errorf("received %+v, %v; want io.EOF", m, err)
	}
	if err := parent.Send(Message{Quit: &Quit{}}); err == nil {
		t.Error("sent to nobody without an error")
	}
}

// A worker that ends without having read all it was sent must still be heard:
// the kernel reports a reset before the messages that are left.
func TestLastWordsOfAPeerThatDidNotListen(t *testing.T) {
	parent, child := pair(t)
	send(t, parent, Message{List: &List{Request: 1}})
	send(t, child, Message{Drained: &Drained{Finished: 7}})
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, parent); m.Drained == nil || m.Drained.Finished != 7 {
		t.Errorf("received %+v, want the last words", m)
	}
	if m, err := parent.Receive(); err != io.EOF {
		t.Errorf("received %+v, %v; want io.EOF", m, err)
	}
}

func TestCloseEndsReceive(t *testing.T) {
	parent, _ := pair(t)
	ended := make(chan error)
	go func() {
		_, err := parent.Receive()
		ended <- err
	}()
	if err := parent.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive ended with %v, want net.ErrClosed", err)
	}
}

func TestBadDatagramsArePassedOver(t *testing.T) {
	parent, child := pair(t)
	for _, bad := range []string{"{", "\x00", `"text"`, `{"drain":7}`, strings.Repeat(" ", MaxMessage) + "{}"} {
		if _, err := child.conn.Write([]byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	send(t, child, Message{Ready: &Ready{}})
	if m := receive(t, parent); m.Ready == nil {
		t.Errorf("received %+v, want Ready", m)
	}
}

// Pages of one Send arrive together, however many send at once.
func TestPagesAreNotInterleaved(t *testing.T) {
	parent, child := pair(t)
	const senders, sends, pages = 8, 30, 5
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for range sends {
				var list []Message
				for p := range pages {
					name := fmt.Sprint(p)
					list = append(list, Message{Inflight: &Inflight{Request: s, More: p < pages-1, Operations: []Operation{{Name: name}}}})
				}
				if err := child.Send(list...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range senders * sends {
		first := receive(t, parent).Inflight
		for p := range pages {
			m := first
			if p > 0 {
				m = receive(t, parent).Inflight
			}
			if m.Request != first.Request || m.Operations[0].Name != fmt.Sprint(p) || m.More != (p < pages-1) {
				t.Fatalf("page %d of %d's is %+v", p, first.Request, m)
			}
		}
	}
	all.Wait()
}

// A peer that reads nothing costs a sender a second, not for ever.
func TestSendDoesNotWaitForEver(t *testing.T) {
	parent, _ := pair(t)
	big := Message{Drain: &Drain{Reason: strings.Repeat("x", MaxMessage/2)}}
	sent := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 1000 && err == nil; i++ {
			err = parent.Send(big)
		}
		sent <- err
	}()
	select {
	case err := <-sent:
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("a thousand messages that nobody reads gave %v, want a timeout", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Send still waits for a peer that reads nothing")
	}
}

func TestOpenChannelErrors(t *testing.T) {
	if _, err := OpenChannel(-1); err == nil {
		t.Error("opened descriptor -1")
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[1])
	if _, err := OpenChannel(pipe[0]); err == nil {
		t.Error("opened a pipe")
	}
	if _, err := unix.FcntlInt(uintptr(pipe[0]), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor is not closed: %v", err)
	}
}
