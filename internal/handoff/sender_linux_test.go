package handoff

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newSender has a Sender of one peer, and returns the peer's end.
func newSender(t *testing.T) (s *Sender, end int, lost chan string) {
	t.Helper()
	lost = make(chan string, 10)
	s = NewSender(func(peer string) { lost <- peer })
	t.Cleanup(func() { s.Close() })
	return s, join(t, s, "a"), lost
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

// expect reads one message, which must be of this kind.
func (s *script) expect(kind op) (message, []int) {
	s.t.Helper()
	m, fds, err := s.link.receive()
	if err != nil || m.Op != kind {
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
	return m.ID
}

func (s *script) say(kind op, id uint64) { s.link.send(message{Op: kind, ID: id}) }

// playReceiver is a receiver that goes as far as step, and says so.
func playReceiver(step string) {
	l, err := openLink(3)
	if err != nil {
		panic(err)
	}
	next := func() message {
		m, _, err := l.receive() // a descriptor is kept open
		if err != nil {
			panic(err)
		}
		return m
	}
	reached := func(now string) {
		if now == step {
			say(now)
			pause()
			os.Exit(0)
		}
	}
	say("started")
	if step == "unread" {
		pause()
		return
	}
	m, fds, err := l.receive()
	if err != nil || len(fds) != 1 {
		panic(fmt.Sprint(len(fds), err))
	}
	reached("offer")
	l.send(message{Op: opAck, ID: m.ID})
	reached("ack")
	next()
	reached("commit")
	if step == "read" || step == "written" {
		if step == "read" {
			_, err = syscall.Read(fds[0], make([]byte, 1))
		} else {
			_, err = syscall.Write(fds[0], []byte("x"))
		}
		if err != nil {
			panic(err)
		}
		reached(step)
	}
	l.send(message{Op: opDone, ID: m.ID})
	reached("done")
}

func TestReceiverIsKilled(t *testing.T) {
	for _, c := range []struct {
		step string
		want error
	}{
		{"unread", ErrRefused}, {"offer", ErrRefused}, {"ack", ErrRefused}, {"commit", ErrRefused},
		{"read", ErrLost}, {"written", ErrLost}, {"done", nil},
	} {
		for _, stopped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stopped %v", c.step, stopped), func(t *testing.T) {
				noneLeft(t)
				s, end, lost := newSender(t)
				s.within = limit // the end of the peer is all that happens
				p := start(t, "receiver", c.step, end)
				p.expect("started")
				client, server := connect(t)
				_, err := io.WriteString(client, "already here")
				must(t, err)
				result := send(s, server)
				if c.step == "unread" {
					until(t, "offered", func() bool { return outstanding(s) == 1 })
				} else {
					p.expect(c.step)
				}
				if stopped {
					p.stop()
				}
				p.kill()
				err = wait(t, result)
				if !errors.Is(err, c.want) || c.want == nil && err != nil || Offered(err) {
					t.Fatalf("%v, offered %v; want %v", err, Offered(err), c.want)
				}
				if name := wait(t, lost); name != "a" || s.Peers() != 0 {
					t.Errorf("lost %q, %d peers are left", name, s.Peers())
				}
				if errors.Is(err, ErrRefused) {
					must(t, server.SetDeadline(time.Now().Add(limit)))
					b := make([]byte, 12)
					if _, err := io.ReadFull(server, b); err != nil || string(b) != "already here" {
						t.Fatalf("read %q, %v", b, err)
					}
					talks(t, client, server)
				}
				server.Close()
			})
		}
	}
}

// outstanding counts offers without an end.
func outstanding(s *Sender) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		n += len(p.offers)
	}
	return n
}

func TestReceiverIsStopped(t *testing.T) {
	for _, step := range []string{"unread", "offer"} {
		t.Run(step, func(t *testing.T) {
			noneLeft(t)
			s, end, _ := newSender(t)
			s.within = 50 * time.Millisecond
			if step == "offer" {
				s.within = time.Second // it must come that far
			}
			p := start(t, "receiver", step, end)
			p.expect("started")
			if step == "unread" {
				p.stop()
			}
			client, server := connect(t)
			result := send(s, server)
			if step == "offer" {
				p.expect(step)
				p.stop()
			}
			err := wait(t, result)
			if !errors.Is(err, ErrRefused) || !Offered(err) {
				t.Fatalf("%v, offered %v; want refused, and offered", err, Offered(err))
			}
			if n := s.Peers(); n != 0 {
				t.Errorf("%d peers, with one that does not answer", n)
			}
			talks(t, client, server)
			// A copy is left, as was said: close alone does not end it.
			must(t, server.CloseWrite())
			server.Close()
			closes(t, client)
		})
	}
	for _, step := range []string{"ack", "commit"} {
		t.Run(step, func(t *testing.T) {
			s, end, _ := newSender(t)
			p := start(t, "receiver", step, end)
			p.expect("started")
			_, server := connect(t)
			result := send(s, server)
			p.expect(step)
			p.stop()
			// No other connection waits for a peer that owes an answer.
			until(t, "silent", func() bool { return s.Peers() == 0 })
			_, other := connect(t)
			if err := wait(t, send(s, other)); !errors.Is(err, ErrRefused) || Offered(err) {
				t.Errorf("a second connection: %v", err)
			}
			select {
			case err := <-result:
				t.Fatalf("%v, of a connection that has been given away", err)
			default:
			}
			must(t, s.Close())
			if err := wait(t, result); !errors.Is(err, ErrLost) || Offered(err) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
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
				peer.link.send(message{Op: opNack, ID: id, Why: w})
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
	peer.link.send(message{Op: opNack, ID: peer.offer(), Why: whyShort})
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
	if m, _ := peer.expect(opAbort); m.ID != id {
		t.Errorf("abort of %d, want %d", m.ID, id)
	}
	until(t, "the peer has answered", func() bool { return s.Peers() == 1 })
	if outstanding(s) != 1 {
		t.Error("an aborted offer does not count before its end")
	}
	peer.say(opNack, id)
	until(t, "ended", func() bool { return outstanding(s) == 0 })
	talks(t, client, server)
}

// The next peer must know that there may be a copy.
func TestNextPeerIsToldOfACopy(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = 100 * time.Millisecond
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

// The peer with the fewest offers is chosen.
func TestOffersAreSpread(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	peers := []*script{newScript(t, end), newScript(t, join(t, s, "b"))}
	var results []chan error
	for i := range 6 {
		_, server := connect(t)
		results = append(results, send(s, server))
		until(t, "offered", func() bool { return outstanding(s) == i+1 })
	}
	for _, peer := range peers {
		var ids []uint64
		for range 3 {
			ids = append(ids, peer.offer())
		}
		for _, id := range ids {
			peer.say(opAck, id)
			peer.expect(opCommit)
			peer.say(opDone, id)
		}
	}
	for _, result := range results {
		must(t, wait(t, result))
	}
}

// A peer that reads nothing is given a window of offers and no more.
func TestWindow(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = 300 * time.Millisecond
	const n = window + 40
	var results []chan error
	for range n {
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
	peer := newScript(t, end)
	for range window {
		peer.offer()
	}
	for range window {
		peer.expect(opAbort)
	}
	if copies != window {
		t.Errorf("%d connections say that they were offered, want %d", copies, window)
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
	open := map[uint64]bool{}
	for {
		m, fds, err := peer.link.receive()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		closeAll(fds)
		if m.Op == opOffer {
			open[m.ID] = true
		} else if m.Op == opAbort {
			delete(open, m.ID)
		}
	}
	if len(open) > 0 {
		t.Errorf("at the end of the pair offers %v were open", open)
	}
	must(t, wait(t, closed))
}

// Close ends what is under way.
func TestSenderCloses(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = limit
	peer := newScript(t, end)
	_, server := connect(t)
	result := send(s, server)
	id := peer.offer()
	must(t, s.Close())
	if err := wait(t, result); !errors.Is(err, ErrRefused) || !Offered(err) {
		t.Errorf("offered: %v", err)
	}
	if m, _ := peer.expect(opAbort); m.ID != id {
		t.Errorf("abort of %d", m.ID)
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

// The kernel does not count for unix connections: nobody can tell whether a
// peer that died had read something.
func TestUnixConnection(t *testing.T) {
	for _, step := range []string{"ack", "commit"} {
		s, end, _ := newSender(t)
		p := start(t, "receiver", step, end)
		p.expect("started")
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		f := os.NewFile(uintptr(fds[0]), "x")
		c, err := net.FileConn(f)
		must(t, err)
		f.Close()
		result := send(s, c.(*net.UnixConn))
		p.expect(step)
		p.kill()
		if err := wait(t, result); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", step, err)
		}
		c.Close()
		syscall.Close(fds[1])
	}
}
