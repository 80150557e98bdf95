package handoff

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newSender has a Sender of one peer, of which it knows that it has no
// connections yet, and returns the peer's end.
func newSender(t *testing.T) (s *Sender, end int, lost chan string) {
	t.Helper()
	lost = make(chan string, 10)
	s = NewSender(func(peer string) { lost <- peer })
	s.within = limit // a test that wants silence noticed says so
	t.Cleanup(func() { s.Close() })
	end = join(t, s, "a")
	s.hears(true)
	return s, end, lost
}

// hears settles whether the first peer has been heard.
func (s *Sender) hears(first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[0].heard = first
}

func join(t *testing.T, s *Sender, name string) (end int) {
	t.Helper()
	ours, end, err := Pair()
	must(t, err)
	must(t, s.Add(name, ours))
	return end
}

// send sends in a goroutine of its own.
func send(s *Sender, c syscall.Conn) chan error {
	done := make(chan error, 1)
	go func() { done <- s.Send(c, Ticket{Listener: "web", Method: "POST"}) }()
	return done
}

func wait[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(limit):
		t.Fatal("nothing came")
	}
	return v
}

// A script is a peer that speaks the protocol as the test wants it.
type script struct {
	t    testing.TB
	link *link
}

func newScript(t testing.TB, fd int) *script {
	t.Helper()
	l, err := openLink(fd)
	must(t, err)
	t.Cleanup(l.close)
	must(t, l.conn.SetReadDeadline(time.Now().Add(limit)))
	return &script{t, l}
}

func (s *script) receive() (message, []int, error) { return answer(s.link) }

// answer reads one message, but for that about the load.
func answer(l *link) (message, []int, error) {
	m, fds, err := l.receive(true)
	if err == nil && m.Op == opLoad {
		return answer(l)
	}
	return m, fds, err
}

// expect reads one message, which must be of this kind.
func (s *script) expect(kind op) (message, []int) {
	s.t.Helper()
	m, fds, err := s.receive()
	if err != nil || m.Op != kind || len(m.IDs) == 0 {
		s.t.Fatalf("received %+v, %v; want %s", m, err, kind)
	}
	return m, fds
}

// offer reads an OFFER and closes its descriptor.
func (s *script) offer() uint64 {
	s.t.Helper()
	m, fds := s.expect(opOffer)
	if len(fds) != 1 || m.Ticket == nil || m.Ticket.Listener != "web" {
		s.t.Fatalf("an offer of %d descriptors, %+v", len(fds), m)
	}
	closeAll(fds)
	return m.IDs[0]
}

// take adopts what was offered.
func (s *script) take(id uint64) {
	s.t.Helper()
	s.say(opAck, id)
	s.expect(opCommit)
	s.say(opDone, id)
}

func (s *script) say(kind op, id uint64) { s.link.send(kind, id, "") }

// outstanding counts offers without an end.
func outstanding(s *Sender) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		n += len(p.offers)
	}
	return n
}

func TestRefusals(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, w := range []why{"", whyDraining, whyShort, "some other day"} {
			t.Run(fmt.Sprintf("late %v, because %q", late, w), func(t *testing.T) {
				noneLeft(t)
				s, end, lost := newSender(t)
				s.backoff = 50 * time.Millisecond
				peer := newScript(t, end)
				client, server := connect(t)
				result := send(s, server)
				id := peer.offer()
				if late {
					peer.say(opAck, id)
					peer.expect(opCommit)
				}
				peer.link.send(opNack, id, w)
				if err := wait(t, result); !errors.Is(err, ErrRefused) || Offered(err) {
					t.Fatal(err)
				}
				talks(t, client, server)
				if w == whyDraining {
					if wait(t, lost); s.Peers() != 0 {
						t.Error("a peer that drains is one to turn to")
					}
					return
				}
				until(t, "the peer is there again", func() bool { return s.Peers() == 1 })
				result = send(s, server)
				id = peer.offer()
				peer.say(opAck, id)
				peer.expect(opCommit)
				peer.say(opDone, id)
				must(t, wait(t, result))
			})
		}
	}
}

func TestRestingPeerIsLeftAlone(t *testing.T) {
	s, end, _ := newSender(t)
	s.backoff = limit
	peer := newScript(t, end)
	_, server := connect(t)
	result := send(s, server)
	peer.link.send(opNack, peer.offer(), whyShort)
	if err := wait(t, result); !errors.Is(err, ErrRefused) || s.Peers() != 0 {
		t.Fatalf("%v, %d peers", err, s.Peers())
	}
	if err := wait(t, send(s, server)); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
}

// The answer of a peer that comes too late must not make two owners.
func TestLateAck(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = 20 * time.Millisecond
	peer := newScript(t, end)
	client, server := connect(t)
	if err := wait(t, send(s, server)); !Offered(err) {
		t.Fatal(err)
	}
	if s.Peers() != 0 {
		t.Error("a silent peer is one to turn to")
	}
	id := peer.offer()
	peer.say(opAck, id)
	if m, _ := peer.expect(opAbort); m.IDs[0] != id {
		t.Errorf("abort of %d, want %d", m.IDs[0], id)
	}
	until(t, "the peer has answered", func() bool { return s.Peers() == 1 })
	if outstanding(s) != 1 {
		t.Error("an aborted offer does not count before its end")
	}
	peer.say(opNack, id)
	until(t, "ended", func() bool { return outstanding(s) == 0 })
	must(t, s.Close())
	if m, _, err := peer.link.receive(true); !errors.Is(err, io.EOF) {
		t.Errorf("after the abort: %+v, %v", m, err)
	}
	talks(t, client, server)
}

// What does not fit the state of an offer changes nothing.
func TestAnswersOutOfOrder(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	peer := newScript(t, end)
	_, server := connect(t)
	result := send(s, server)
	id := peer.offer()
	peer.say("levitate", id)
	peer.say(opAck, id+1)
	peer.say(opDone, id)
	peer.say(opAck, id)
	peer.say(opAck, id)
	peer.expect(opCommit)
	peer.say(opDone, id)
	peer.say(opDone, id)
	peer.say(opNack, id)
	must(t, wait(t, result))
	must(t, s.Close())
	if m, _, err := peer.link.receive(true); !errors.Is(err, io.EOF) {
		t.Errorf("after all: %+v, %v", m, err)
	}
}

// The next peer must know that there may be a copy.
func TestNextPeerIsToldOfACopy(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = time.Second
	quiet := newScript(t, end)
	r, a := newReceiver(t)
	must(t, r.Add("s", join(t, s, "willing")))
	_, server := connect(t)
	result := send(s, server)
	quiet.offer() // of two that have equally much to do the first is chosen
	must(t, wait(t, result))
	if got := wait(t, a.tickets); !got.Offered || got.Method != "POST" {
		t.Errorf("adopted with %+v", got)
	}
	a.next(t)
	quiet.expect(opAbort)
}

// A peer that reads nothing is given a window of offers and no more.
func TestWindow(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	var results []chan error
	for range window + 40 {
		_, server := connect(t)
		results = append(results, send(s, server))
	}
	until(t, "a full window", func() bool { return outstanding(s) == window && pending(s) == 40 })
	must(t, s.Close())
	copies := 0
	for _, result := range results {
		err := wait(t, result)
		if !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		if Offered(err) {
			copies++
		}
	}
	offers, aborts := newScript(t, end).all()
	if len(offers) != copies || copies > window || copies == 0 {
		t.Errorf("%d offers, and %d connections say that they were offered", len(offers), copies)
	}
	for id := range offers {
		if !aborts[id] {
			t.Errorf("offer %d is not taken back", id)
		}
	}
}

// all reads to the end of the pair.
func (s *script) all() (offers, aborts map[uint64]bool) {
	s.t.Helper()
	offers, aborts = map[uint64]bool{}, map[uint64]bool{}
	for {
		m, fds, err := s.link.receive(true)
		if errors.Is(err, io.EOF) {
			return offers, aborts
		}
		must(s.t, err)
		closeAll(fds)
		switch m.Op {
		case opOffer:
			offers[m.IDs[0]] = true
		case opAbort:
			for _, id := range m.IDs {
				aborts[id] = offers[id] || aborts[id]
			}
		}
	}
}

// Those that wait for room go on as it comes.
func TestRoomIsWaitedFor(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = limit
	var results []chan error
	for range window + 100 {
		_, server := connect(t)
		results = append(results, send(s, server))
	}
	until(t, "a full window", func() bool { return outstanding(s) == window && pending(s) == 100 })
	r, a := newReceiver(t)
	must(t, r.Add("s", end))
	for _, result := range results {
		must(t, wait(t, result))
		a.next(t)
	}
}

// Those that wait for room are turned away when nobody is left to have any.
func TestNobodyIsLeftToWaitFor(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = limit
	var results []chan error
	for range window + 10 {
		_, server := connect(t)
		results = append(results, send(s, server))
	}
	until(t, "a full window", func() bool { return outstanding(s) == window && pending(s) == 10 })
	newScript(t, end).link.close()
	for _, result := range results {
		if err := wait(t, result); !errors.Is(err, ErrRefused) || Offered(err) {
			t.Fatal(err)
		}
	}
}

func pending(s *Sender) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

func TestTooMuchToSay(t *testing.T) {
	s, _, _ := newSender(t)
	_, server := connect(t)
	err := s.Send(server, Ticket{Listener: strings.Repeat("x", maxMessage)})
	if !errors.Is(err, ErrRefused) || outstanding(s) != 0 {
		t.Errorf("%v, %d offers are left", err, outstanding(s))
	}
}

func TestConnectionIsClosed(t *testing.T) {
	s, _, _ := newSender(t)
	_, server := connect(t)
	server.Close()
	if err := s.Send(server, Ticket{}); !errors.Is(err, ErrRefused) || outstanding(s) != 0 {
		t.Errorf("%v, %d offers are left", err, outstanding(s))
	}
}

// What cannot be said at once is said before the pair is closed.
func TestUnsentAbort(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = 50 * time.Millisecond
	s.mu.Lock()
	l := s.peers[0].link
	s.mu.Unlock()
	must(t, l.raw.Control(func(fd uintptr) { must(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 1)) }))
	var results []chan error
	for range 40 {
		_, server := connect(t)
		results = append(results, send(s, server))
	}
	copies := 0
	for _, result := range results {
		err := wait(t, result)
		if !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		if Offered(err) {
			copies++
		}
	}
	if copies == 0 || copies == len(results) {
		t.Fatalf("%d of %d were offered: this shows nothing", copies, len(results))
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	peer := newScript(t, end)
	offers, aborts := peer.all()
	for id := range offers {
		if !aborts[id] {
			t.Errorf("offer %d was open at the end of the pair", id)
		}
	}
	must(t, wait(t, closed))
}

// An offer for which the kernel has no room waits like one beyond the window.
func TestFullBuffer(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.mu.Lock()
	l := s.peers[0].link
	s.mu.Unlock()
	must(t, l.raw.Control(func(fd uintptr) { must(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 1)) }))
	var results []chan error
	for range 40 {
		_, server := connect(t)
		results = append(results, send(s, server))
	}
	until(t, "a full buffer", func() bool { n := outstanding(s); return n > 0 && n+pending(s) == len(results) })
	r, a := newReceiver(t)
	must(t, r.Add("s", end))
	for _, result := range results {
		must(t, wait(t, result))
		a.next(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.peers[0].window; n != window {
		t.Errorf("the window has stayed at %d", n)
	}
}

// Close ends what is under way.
func TestSenderCloses(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = limit
	peer := newScript(t, end)
	_, server := connect(t)
	given := send(s, server)
	first := peer.offer()
	peer.say(opAck, first)
	peer.expect(opCommit)
	_, server = connect(t)
	offered := send(s, server)
	second := peer.offer()
	must(t, s.Close())
	if err := wait(t, given); !errors.Is(err, ErrLost) || Offered(err) {
		t.Errorf("committed: %v", err)
	}
	if err := wait(t, offered); !errors.Is(err, ErrRefused) || !Offered(err) {
		t.Errorf("offered: %v", err)
	}
	if m, _ := peer.expect(opAbort); m.IDs[0] != second {
		t.Errorf("abort of %d", m.IDs[0])
	}
	if _, _, err := peer.link.receive(true); !errors.Is(err, io.EOF) {
		t.Errorf("then %v, want the end", err)
	}
	if err := s.Send(server, Ticket{}); !errors.Is(err, ErrRefused) {
		t.Errorf("after Close: %v", err)
	}
	ours, theirs, err := Pair()
	must(t, err)
	syscall.Close(theirs)
	if err := s.Add("late", ours); !errors.Is(err, net.ErrClosed) {
		t.Errorf("add after Close: %v", err)
	}
	must(t, s.Close())
}
