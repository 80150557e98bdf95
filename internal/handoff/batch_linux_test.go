package handoff

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
)

// sayAll says one message about several offers.
func (s *script) sayAll(kind op, ids ...uint64) {
	s.link.hold(true)
	for _, id := range ids {
		s.say(kind, id)
	}
	s.link.hold(false)
}

// expectAll reads one message, which must be of this kind and these offers, in
// any order.
func (s *script) expectAll(kind op, ids ...uint64) {
	s.t.Helper()
	m, _ := s.expect(kind)
	slices.Sort(m.IDs)
	if !slices.Equal(m.IDs, ids) {
		s.t.Fatalf("%s of %d, want %d", kind, m.IDs, ids)
	}
}

// ended checks that the other side has said nothing more and closed its end.
func (s *script) ended() {
	s.t.Helper()
	if m, _, err := s.receive(); !errors.Is(err, io.EOF) {
		s.t.Fatalf("%+v, %v; want the end", m, err)
	}
}

// queue is a sender that has said something before the receiver listens: join
// adds it, so that all is found at once.
func queue(t *testing.T, r *Receiver) (s *script, join func()) {
	t.Helper()
	ours, theirs, err := Pair()
	must(t, err)
	return newScript(t, theirs), func() { must(t, r.Add("s", ours)) }
}

// The receiver answers what it finds with one message of each kind.
func TestReceiverAnswersAtOnce(t *testing.T) {
	noneLeft(t)
	r, a := newReceiver(t)
	s, join := queue(t, r)
	_, server := connect(t)
	for id := range uint64(window + 3) {
		s.gives(id, server)
	}
	join()
	first, _ := s.expect(opAck) // it lets the sender get on
	second, _ := s.expect(opAck)
	if len(first.IDs) != window || len(second.IDs) != 3 {
		t.Errorf("answers to %d and %d offers", len(first.IDs), len(second.IDs))
	}
	s.sayAll(opCommit, 1, 2, 3, 99)
	s.expectAll(opDone, 1, 2, 3)
	s.sayAll(opAbort, 3, 4, 5)
	s.expectAll(opNack, 3, 4, 5)
	s.sayAll(opCommit, 4, 5, 6) // of which two are taken back
	s.expectAll(opDone, 6)
	for range 4 {
		a.next(t).Close()
	}
	a.nothing(t)
	r.Refuse()
	for range window + 3 - 6 {
		if m, _ := s.expect(opNack); len(m.IDs) != 1 || m.Why != whyDraining {
			t.Errorf("what was held: %+v", m)
		}
	}
	must(t, r.Close())
	s.ended()
}

// Whatever a sender has said before it died counts for each connection alone.
func TestSenderDiesAfterMany(t *testing.T) {
	noneLeft(t)
	r, a := newReceiver(t)
	s, join := queue(t, r)
	var clients, servers []*net.TCPConn
	for id := range uint64(5) {
		client, server := connect(t)
		clients, servers = append(clients, client), append(servers, server)
		s.gives(id, server)
	}
	s.sayAll(opCommit, 0, 1)
	s.sayAll(opAbort, 2)
	_, err := servers[3].Write([]byte("x")) // it was served on
	must(t, err)
	s.link.close()
	for _, c := range servers {
		c.Close()
	}
	join()
	for _, i := range []int{0, 1, 4} {
		talks(t, clients[i], a.next(t))
	}
	closes(t, clients[2])
	_, err = io.ReadFull(clients[3], make([]byte, 1))
	must(t, err)
	closes(t, clients[3])
	must(t, r.Close())
	a.nothing(t)
}

// The sender answers what it finds with one message, and a peer that dies ends
// each offer as far as it had come.
func TestPeerDiesAfterMany(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	peer := newScript(t, end)
	type conn struct {
		client, server *net.TCPConn
		result         chan error
	}
	conns := map[uint64]conn{}
	for range 6 {
		client, server := connect(t)
		result := send(s, server)
		conns[peer.offer()] = conn{client, server, result}
	}
	peer.sayAll(opAck, 1, 2, 3, 4, 99)
	peer.expectAll(opCommit, 1, 2, 3, 4)
	peer.sayAll(opDone, 1, 2, 6) // 6 is not given away yet
	peer.sayAll(opNack, 3, 5)
	for _, id := range []uint64{1, 2} {
		must(t, wait(t, conns[id].result))
	}
	for _, id := range []uint64{3, 5} {
		if err := wait(t, conns[id].result); !errors.Is(err, ErrRefused) || Offered(err) {
			t.Errorf("connection %d: %v", id, err)
		}
		talks(t, conns[id].client, conns[id].server)
	}
	if outstanding(s) != 2 {
		t.Errorf("%d offers are left, want 2", outstanding(s))
	}
	_, err := conns[4].server.Write([]byte("x")) // as the peer that was given it
	must(t, err)
	peer.link.close()
	if err := wait(t, conns[4].result); !errors.Is(err, ErrLost) {
		t.Errorf("given away and touched: %v", err)
	}
	if err := wait(t, conns[6].result); !errors.Is(err, ErrRefused) {
		t.Errorf("offered: %v", err)
	}
	talks(t, conns[6].client, conns[6].server)
}

// A NACK may overtake the ACK that it crosses: then that changes nothing.
func TestAckAfterNack(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	peer := newScript(t, end)
	client, server := connect(t)
	result := send(s, server)
	id := peer.offer()
	peer.say(opNack, id)
	peer.say(opAck, id)
	if err := wait(t, result); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	_, other := connect(t)
	result = send(s, other)
	last := peer.offer()
	peer.say(opAck, last) // an answer shows that what came before was heard
	peer.expectAll(opCommit, last)
	peer.say(opDone, last)
	must(t, wait(t, result))
	talks(t, client, server)
}

// What is held back is said before the end is closed.
func TestClosedWhileHolding(t *testing.T) {
	noneLeft(t)
	ours, theirs, err := Pair()
	must(t, err)
	s, peer := newScript(t, ours), newScript(t, theirs)
	s.link.hold(true)
	s.say(opDone, 1)
	s.link.close()
	s.say(opDone, 2)
	if _, _, err := peer.link.receive(false); err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("%v, of an end that holds back", err)
	}
	s.link.hold(false)
	wait(t, s.link.closed)
	peer.expectAll(opDone, 1, 2)
	peer.ended()
}

// Who has much to hear says something now and then.
func TestHearingAWindow(t *testing.T) {
	noneLeft(t)
	ours, theirs, err := Pair()
	must(t, err)
	s, peer := newScript(t, ours), newScript(t, theirs)
	for id := range uint64(window + 1) {
		peer.say(opCommit, id)
	}
	heard := 0
	err = s.link.hear(func(m message, _ []int) {
		if heard++; heard == window+1 {
			if got, _, err := peer.link.receive(false); err != nil || len(got.IDs) != window {
				t.Errorf("after a window: %+v, %v", got, err)
			}
			s.link.interrupt()
			return
		}
		s.say(opDone, m.IDs[0])
	})
	if !errors.Is(err, os.ErrDeadlineExceeded) || heard != window+1 {
		t.Errorf("%d heard, %v", heard, err)
	}
}

// Only what says the same is joined, and no more than a message may hold.
func TestJoined(t *testing.T) {
	noneLeft(t)
	ours, theirs, err := Pair()
	must(t, err)
	s, peer := newScript(t, ours), newScript(t, theirs)
	s.link.hold(true)
	for id := range uint64(maxIDs + 1) {
		s.link.send(opNack, id, "")
	}
	s.link.send(opNack, 100, whyShort)
	s.link.send(opDone, 101, "")
	s.link.send(opNack, 102, whyShort)
	s.link.hold(false)
	for _, want := range []struct {
		kind op
		why  why
		ids  int
	}{{opNack, "", maxIDs}, {opNack, "", 1}, {opNack, whyShort, 2}, {opDone, "", 1}} {
		if m, _ := peer.expect(want.kind); m.Why != want.why || len(m.IDs) != want.ids {
			t.Errorf("%+v, want %+v", m, want)
		}
	}
}
