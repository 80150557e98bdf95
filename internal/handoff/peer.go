package handoff

import (
	"slices"
	"time"
)

// A peer is a receiver, as its Sender sees it. All fields are guarded by the
// Sender's lock.
type peer struct {
	name   string
	link   *link
	offers map[uint64]*offer // made and not ended, the aborted ones too
	window int               // how many of them there may be
	load   int               // how many connections it has, as it said last

	heard bool // has said that, or let us wait for it too long

	gone     bool // has ended
	draining bool // takes nothing any more, as it has said
	silent   bool // let an offer wait for too long, and has answered nothing since
	resting  bool // is short of something, and left alone for a while
}

// window is how many offers of a peer may be without an end. So many fit twice
// into the default buffer of a unix socket, with all that belongs to them, and
// are far below any limit on descriptors.
const window = 64

func (p *peer) open() bool { return !p.gone && !p.draining && !p.silent && !p.resting }

// expects is how many connections the peer has when it has taken what it was
// offered.
func (p *peer) expects() int { return p.load + len(p.offers) }

func (p *peer) room() bool { return len(p.offers) < p.window }

// An offer is one attempt to give one connection to one peer.
type offer struct {
	id      uint64
	peer    *peer
	state   state
	verdict chan verdict // holds one; nobody reads that of an aborted offer
}

// A state of an offer. All but an aborted one end with a verdict:
//
//	offered ---ACK---> committed ---DONE, NACK, end of the peer---> ended
//	offered ---NACK, end of the peer---> ended
//	offered ---too late---> aborted ---NACK, end of the peer---> ended
type state int

const (
	offered   state = iota // may be taken back at any time
	committed              // the peer's, as soon as it reads so
	aborted                // the caller's again; the peer may not know it yet
)

// A verdict is what became of an offer.
type verdict int

const (
	moved     verdict = iota // the connection is the peer's
	refused                  // it is the caller's, and no copy remains with the peer
	late                     // it is the caller's, and a copy may remain
	full                     // it was not even offered
	unknown                  // it was committed, and the peer is gone
	abandoned                // it was committed, and nobody waits for an answer any more
)

// A move is one connection on its way.
type move struct {
	refused []*peer     // who will not have it
	turn    chan *offer // room with a peer; nil: there is nobody left
}

// choose returns the peer with the fewest connections among those that could
// take m. Nil: there is none; or, to wait for, that one has no room. To give to
// the next best instead would leave its connections for good to a peer that has
// enough: a roll goes from worker to worker, and the first to be replaced would
// end up with everybody's. Nor does a peer that has said what it has come before
// an earlier one that has not yet: the first is the one that has least.
func (s *Sender) choose(m *move) (best *peer, wait bool) {
	for _, p := range s.peers {
		if !p.open() || slices.Contains(m.refused, p) {
			continue
		}
		if !p.heard {
			wait = best == nil
			break
		}
		if best == nil || p.expects() < best.expects() {
			best = p
		}
	}
	if best != nil && !best.room() {
		return nil, true
	}
	return best, wait
}

// settle gives the room there is to those that wait, first come first served,
// and turns away those that wait for nobody. It is called after every change
// of a peer. The first may keep others waiting that could go elsewhere: it
// does not wait for long, since a peer that lets it wait falls silent.
func (s *Sender) settle() {
	for len(s.waiting) > 0 {
		m := s.waiting[0]
		p, wait := s.choose(m)
		if p == nil && wait {
			return
		}
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		m.turn <- s.place(p)
	}
	s.waiting = nil
}

// place makes an offer of p, or none of nobody.
func (s *Sender) place(p *peer) *offer {
	if p == nil {
		return nil
	}
	s.last++
	o := &offer{id: s.last, peer: p, verdict: make(chan verdict, 1)}
	p.offers[o.id] = o
	return o
}

// end ends an offer, with a verdict unless it was aborted.
func (o *offer) end(v verdict) {
	delete(o.peer.offers, o.id)
	if o.state != aborted {
		o.verdict <- v
	}
}

// take takes an offer back.
func (o *offer) take() {
	o.state = aborted
	o.peer.link.send(opAbort, o.id, "")
}

// rest leaves a peer alone for a while.
func (s *Sender) rest(p *peer) {
	if p.resting {
		return
	}
	p.resting = true
	time.AfterFunc(s.backoff, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.resting = false
		s.settle()
	})
}

// read hears a peer out.
func (s *Sender) read(p *peer) {
	_ = p.link.hear(func(m message, fds []int) { // however it ends, the peer is gone
		closeAll(fds) // a receiver sends none
		s.answered(p, m)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	p.link.close()
	s.peers = slices.DeleteFunc(s.peers, func(q *peer) bool { return q == p })
	p.gone = true
	for _, o := range p.offers {
		if o.state == committed {
			o.end(unknown)
		} else {
			o.end(refused)
		}
	}
	s.tell(p)
	s.settle()
}

// tell says once that a peer is lost.
func (s *Sender) tell(p *peer) {
	if !p.draining && !s.closed {
		go s.lost(p.name)
	}
	p.draining = true
}

// answered deals with a message of a peer. One that does not fit the state of
// its offer is ignored: it crossed with one of ours, or came twice.
func (s *Sender) answered(p *peer, m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.silent, p.heard = false, true
	p.window, p.load = window, m.Load
	for _, id := range m.IDs {
		o := p.offers[id]
		switch {
		case o == nil:
		case m.Op == opAck && o.state == offered:
			o.state = committed
			p.link.send(opCommit, id, "")
		case m.Op == opDone && o.state == committed:
			o.end(moved)
		case m.Op == opNack:
			o.end(refused)
			switch m.Why {
			case whyDraining:
				s.tell(p)
			case whyShort:
				s.rest(p)
			}
		}
	}
	s.settle()
}
