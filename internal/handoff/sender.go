package handoff

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Sender gives connections to peers. Its methods may be called from any
// goroutine; those but Send and Close wait for nothing. The peer that is added
// first is taken for the one that may have least.
type Sender struct {
	lost    func(peer string)
	within  time.Duration // for an answer to an offer
	backoff time.Duration // for a peer that is short of something

	mu      sync.Mutex
	peers   []*peer
	waiting []*move // for room, in order
	last    uint64  // id given
	closed  bool
}

// NewSender makes a Sender without peers. lost is called once for each peer
// that is gone or has said that it takes nothing any more, in a goroutine of
// its own, with no lock held; not after Close.
func NewSender(lost func(peer string)) *Sender {
	return &Sender{lost: lost, within: 250 * time.Millisecond, backoff: 100 * time.Millisecond}
}

// Add joins a peer, by a descriptor of an end of a pair, which is taken over,
// also on error. The name is for lost only.
func (s *Sender) Add(name string, fd int) error {
	l, err := openLink(fd)
	if err != nil {
		return fmt.Errorf("add peer %s: %w", name, err)
	}
	p := &peer{name: name, link: l, offers: map[uint64]*offer{}, window: window}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		l.close()
		return fmt.Errorf("add peer %s: %w", name, net.ErrClosed)
	}
	s.peers = append(s.peers, p)
	time.AfterFunc(s.within, func() { // of an older version, it says nothing by itself
		s.mu.Lock()
		defer s.mu.Unlock()
		p.heard = true
		s.settle()
	})
	s.settle()
	go s.read(p)
	return nil
}

// Peers returns how many peers Send would turn to now, those included whose
// window is full, for which it would wait.
func (s *Sender) Peers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, p := range s.peers {
		if p.open() {
			n++
		}
	}
	return n
}

// Send gives a connection to a peer and returns when that has adopted it, or
// when nobody will. Until then nobody else may read from it or write to it.
// To close it meanwhile is allowed, and does not end Send.
//
// Nil: it is moved. The caller closes its copy, without shutdown(2), which
// would end the connection for its new owner too.
//
// An error that is ErrRefused: the connection is the caller's, as if nothing
// had happened. No peer, none that took it, or none that answered in time:
// that is known at once, or after a quarter of a second for each peer that
// is silent, twice that for one that was just added. If the best peer is busy,
// Send waits for it; should the last of them fall silent, all that wait are turned
// away together, since no client should wait with them, and may try again when
// Peers says that somebody is there.
//
// An error that is ErrLost: a peer was given the connection and then ended, or
// the Sender was closed before it answered. The caller closes its copy. Once a
// peer was given the connection there is no limit to the wait for its word,
// which may be waiting to be read by a process that stands still: only Close
// ends it.
//
// See Offered for what an error may say besides.
func (s *Sender) Send(c syscall.Conn, t Ticket) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("send connection: %w: %w", ErrRefused, err)
	}
	m := &move{turn: make(chan *offer, 1)}
	for {
		o := s.reserve(m)
		if o == nil {
			return failed(ErrRefused, t)
		}
		switch s.attempt(raw, t, o) {
		case moved:
			return nil
		case unknown:
			return failed(ErrLost, t)
		case abandoned:
			// It may be the peer's: no word of a shutdown, whoever else has a copy.
			return failed(ErrLost, Ticket{})
		case late:
			t.Offered = true
			m.refused = append(m.refused, o.peer)
		case refused:
			m.refused = append(m.refused, o.peer)
		case full:
		}
	}
}

func failed(err error, t Ticket) error {
	if t.Offered {
		return fmt.Errorf("send connection: %w; %w", err, errOffered)
	}
	return fmt.Errorf("send connection: %w", err)
}

// reserve waits for room with a peer. Nil: there is nobody left.
func (s *Sender) reserve(m *move) *offer {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	p, wait := s.choose(m)
	if p != nil || !wait {
		defer s.mu.Unlock()
		return s.place(p)
	}
	s.waiting = append(s.waiting, m)
	s.mu.Unlock()
	return <-m.turn
}

// attempt makes one offer and sees it to its end.
func (s *Sender) attempt(raw syscall.RawConn, t Ticket, o *offer) verdict {
	var before, after *marks
	var noRoom bool
	var sent error
	err := raw.Control(func(fd uintptr) {
		before = readMarks(int(fd))
		noRoom, sent = o.peer.link.offer(message{Op: opOffer, IDs: []uint64{o.id}, Ticket: &t, Marks: before}, int(fd))
	})
	if err != nil || sent != nil {
		return s.withdraw(o, noRoom)
	}
	v := s.await(o)
	if v != unknown {
		return v
	}
	// The peer has ended, and all its threads with it. If it has not touched
	// the connection, nobody knows that it was given away.
	if err := raw.Control(func(fd uintptr) { after = readMarks(int(fd)) }); err == nil && same(before, after) {
		return refused
	}
	return unknown
}

// withdraw ends an offer that could not be sent.
func (s *Sender) withdraw(o *offer, noRoom bool) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := o.peer
	if p.offers[o.id] != o {
		return refused // the peer has ended meanwhile, or the Sender was closed
	}
	delete(p.offers, o.id)
	defer s.settle()
	if !noRoom {
		return refused
	}
	// The window is as wide as it has turned out to be, until the peer answers.
	// One that has nothing to answer must be asked again after a while.
	p.window = len(p.offers)
	if p.window == 0 {
		p.window = window
		s.rest(p)
	}
	return full
}

// await waits for the verdict on an offer.
func (s *Sender) await(o *offer) verdict {
	timer := time.NewTimer(s.within)
	defer timer.Stop()
	select {
	case v := <-o.verdict:
		return v
	case <-timer.C:
	}
	if s.overdue(o) {
		return late
	}
	return <-o.verdict
}

// overdue takes an offer back if it can still be. In any case its peer gets
// nothing more until it has answered something: also when what it owes is
// DONE, for others wait for its window.
func (s *Sender) overdue(o *offer) (taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := o.peer
	if p.offers[o.id] != o || o.state == aborted {
		return false // the verdict has come just now
	}
	p.silent = true
	if o.state == offered {
		o.take()
		taken = true
	}
	s.settle()
	return taken
}

// closeWithin is how long Close waits for a peer to make room for what it
// must be told.
const closeWithin = time.Second

// Close ends what is under way: a Send whose connection has not been given
// away returns ErrRefused, another one ErrLost. Then it closes the pairs, each
// when the peer's queue has room for what it must be told: a peer takes the
// end of a pair for the death of the sender, and would adopt what was offered.
// It waits for that no longer than a second; what is left is done later, or
// never, if the process ends before.
func (s *Sender) Close() error {
	s.mu.Lock()
	s.closed = true
	peers := s.peers
	s.peers = nil
	s.settle() // nobody is left to wait for
	for _, p := range peers {
		p.link.seal()
		for _, o := range p.offers {
			switch o.state {
			case offered:
				o.verdict <- late
				o.take()
			case committed:
				o.end(abandoned)
			}
		}
		p.link.close()
	}
	s.mu.Unlock()
	limit := time.After(closeWithin)
	for _, p := range peers {
		select {
		case <-p.link.closed:
		case <-limit:
			return nil
		}
	}
	return nil
}
