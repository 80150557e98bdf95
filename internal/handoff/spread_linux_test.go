package handoff

import (
	"testing"
	"time"
)

// The peer with the fewest connections is chosen, whoever was there first; what
// a peer has is not known before it has answered to one offer.
func TestFewestIsChosen(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.peers[0].window = 1
	peers := []*script{newScript(t, end), newScript(t, join(t, s, "b"))}
	var results []chan error
	for range 8 {
		_, server := connect(t)
		results = append(results, send(s, server))
	}
	until(t, "all but one for each wait", func() bool { return outstanding(s) == 2 && pending(s) == 6 })
	for i, has := range []int{5, 1} {
		peers[i].link.load = func() int { return has }
		id := peers[i].offer()
		peers[i].say(opAck, id)
	}
	until(t, "offered", func() bool { return outstanding(s) == 8 })
	s.mu.Lock()
	shares := []int{2, 6} // 5+2, 1+6
	for i, want := range shares {
		if got := len(s.peers[i].offers); got != want {
			t.Errorf("peer %d was offered %d, want %d", i, got, want)
		}
	}
	s.mu.Unlock()
	for i, peer := range peers {
		peer.takeAll(shares[i])
	}
	for _, result := range results {
		must(t, wait(t, result))
	}
}

// takeAll adopts n connections, of which it may have acknowledged some.
func (s *script) takeAll(n int) {
	s.t.Helper()
	for n > 0 {
		m, fds, err := s.link.receive(true)
		must(s.t, err)
		closeAll(fds)
		for _, id := range m.IDs {
			switch m.Op {
			case opOffer:
				s.say(opAck, id)
			case opCommit:
				s.say(opDone, id)
				n--
			}
		}
	}
}

// What the best peer has no room for waits for it; but not when it is silent.
func TestNextBestIsNotChosen(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.within = 500 * time.Millisecond
	best := newScript(t, end)
	r, a := newReceiver(t)
	a.load = window + 9
	must(t, r.Add("s", join(t, s, "b")))
	_, server := connect(t)
	first := send(s, server)
	best.take(best.offer())
	must(t, wait(t, first))
	var results []chan error
	for range window + 9 {
		_, server := connect(t)
		results = append(results, send(s, server))
	}
	until(t, "offered", func() bool { return pending(s) == 8 })
	for range window {
		best.offer()
	}
	if len(a.conns) > 1 {
		t.Errorf("%d connections went to the peer that had many", len(a.conns))
	}
	for _, result := range results {
		must(t, wait(t, result))
		a.next(t)
	}
}
