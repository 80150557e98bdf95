package handoff

import (
	"errors"
	"io"
	"net"
	"testing"
)

// A peer that ends with messages unread has still said what it said.
func TestLastWords(t *testing.T) {
	noneLeft(t)
	ours, theirs, err := Pair()
	must(t, err)
	s, peer := newScript(t, ours), newScript(t, theirs)
	s.say(opCommit, 1)
	s.say(opCommit, 2)
	peer.expect(opCommit)
	peer.say(opDone, 1)
	peer.link.close()
	s.expect(opDone)
	if _, _, err := s.link.receive(true); !errors.Is(err, io.EOF) {
		t.Errorf("then %v, want the end", err)
	}
}

// Once the aborts of Close are under way, no offer may follow them.
func TestNoOfferAfterTheSeal(t *testing.T) {
	noneLeft(t)
	ours, theirs, err := Pair()
	must(t, err)
	s, peer := newScript(t, ours), newScript(t, theirs)
	s.link.seal()
	if full, err := s.link.offer(message{Op: opOffer}, 0); full || !errors.Is(err, net.ErrClosed) {
		t.Errorf("full %v, %v", full, err)
	}
	s.say(opAbort, 1)
	peer.expect(opAbort)
}
