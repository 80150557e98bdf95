package handoff

import (
	"testing"
	"time"
)

// The peer with the fewest connections is chosen; but nobody before the first has
// said what it has.
func TestFewestIsChosen(t *testing.T) {
	noneLeft(t)
	s, end, _ := newSender(t)
	s.hears(false)
	peers := []*script{newScript(t, end), newScript(t, join(t, s, "b"))}
	var results []chan error
	offers := func(n int) {
		for range n {
			_, server := connect(t)
			results = append(results, send(s, server))
		}
	}
	says := func(i, has int) {
		peers[i].link.load = func() int { return has }
		peers[i].link.greet()
		until(t, "heard", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.peers[i].heard
		})
	}
	offers(1)
	until(t, "it waits", func() bool { return pending(s) == 1 })
	says(1, 1)
	if outstanding(s) != 0 {
		t.Error("the second got what the first may have more need of")
	}
	says(0, 5)
	until(t, "it goes to the second", func() bool { return outstanding(s) == 1 })
	offers(7)
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
		m, fds, err := s.receive()
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
	until(t, "offered", func() bool { return pending(s) == 9 })
	for range window {
		best.offer()
	}
	if len(a.conns) > 0 {
		t.Errorf("%d connections went to the peer that had many", len(a.conns))
	}
	for _, result := range results {
		must(t, wait(t, result))
		a.next(t)
	}
}

// A peer that does not say what it has is not waited for for ever.
func TestSilentNewcomer(t *testing.T) {
	noneLeft(t)
	s := NewSender(func(string) {})
	t.Cleanup(func() { s.Close() })
	s.within = 20 * time.Millisecond
	older := newScript(t, join(t, s, "a"))
	s.within = limit
	_, server := connect(t)
	result := send(s, server)
	older.take(older.offer())
	must(t, wait(t, result))
}
