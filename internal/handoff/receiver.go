package handoff

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Receiver takes connections from senders and gives them to an Adopter. Its
// methods may be called from any goroutine.
type Receiver struct {
	adopter Adopter

	mu       sync.Mutex
	sources  map[*source]bool
	refusing bool
	closed   bool
	reading  sync.WaitGroup
}

// A source is one sender, as its Receiver sees it.
type source struct {
	name string
	link *link
	held map[uint64]held // acknowledged, neither committed nor aborted; guarded by the Receiver's lock
}

// Held is a connection that is not ours yet. It stays a bare descriptor: a
// net.Conn would set options of a socket that is still another's.
type held struct {
	fd     int
	ticket Ticket
	marks  *marks
}

// NewReceiver makes a Receiver without senders.
func NewReceiver(a Adopter) *Receiver {
	return &Receiver{adopter: a, sources: map[*source]bool{}}
}

// Add joins a sender, by a descriptor of an end of a pair, which is taken
// over, also on error, and serves it until the sender is gone. Then what it
// had offered and neither committed nor taken back is adopted too, if nobody
// has touched it since; else closed.
func (r *Receiver) Add(name string, fd int) error {
	l, err := openLink(fd)
	if err != nil {
		return fmt.Errorf("add sender %s: %w", name, err)
	}
	l.load = r.adopter.Load
	src := &source{name: name, link: l, held: map[uint64]held{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		l.close()
		return fmt.Errorf("add sender %s: %w", name, net.ErrClosed)
	}
	l.greet()
	r.sources[src] = true
	r.reading.Go(func() { r.serve(src) })
	return nil
}

// Refuse refuses every offer from now on, and what is held and not committed
// too. It does not wait, and does nothing the second time. An Adopt that is
// under way, or about to be called for a connection that was committed before,
// may still end well after it has returned.
func (r *Receiver) Refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusing = true
	for src := range r.sources {
		for id, h := range src.held {
			syscall.Close(h.fd)
			src.nack(id, whyDraining)
		}
		clear(src.held)
	}
}

// Close refuses what is not committed, ends all senders' pairs and waits until
// nothing more is adopted. A commit that has not been read by then is refused
// as well: the sender finds out by the end of the pair.
func (r *Receiver) Close() error {
	r.Refuse()
	r.mu.Lock()
	r.closed = true
	for src := range r.sources {
		src.link.interrupt()
	}
	r.mu.Unlock()
	r.reading.Wait()
	return nil
}

// nack refuses a connection. No copy of it may be left with us: the sender
// counts on that.
func (src *source) nack(id uint64, w why) {
	src.link.send(opNack, id, w)
}

func (r *Receiver) serve(src *source) {
	err := src.link.hear(func(m message, fds []int) { r.heard(src, m, fds) })
	r.mu.Lock()
	left := src.held
	src.held = nil
	delete(r.sources, src)
	r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(left)) {
		h := left[id]
		if errors.Is(err, io.EOF) && same(h.marks, readMarks(h.fd)) {
			_ = r.adopt(h)
		} else {
			syscall.Close(h.fd)
		}
	}
	// Not before all that was adopted has been confirmed: a sender that sees
	// the end without the word would go on with the connection.
	src.link.close()
	select {
	case <-src.link.closed:
	case <-time.After(closeWithin):
	}
}

// heard deals with a message of a sender.
func (r *Receiver) heard(src *source, m message, fds []int) {
	if m.Op == opOffer && len(m.IDs) == 1 {
		r.offered(src, m.IDs[0], m, fds)
		return
	}
	closeAll(fds)
	for _, id := range m.IDs {
		switch m.Op {
		case opCommit:
			if h, ok := r.release(src, id); ok {
				r.committed(src, id, h)
			}
		case opAbort:
			if h, ok := r.release(src, id); ok {
				syscall.Close(h.fd)
			}
			src.nack(id, "")
		}
	}
}

// offered takes a descriptor into custody, or refuses it.
func (r *Receiver) offered(src *source, id uint64, m message, fds []int) {
	if len(fds) != 1 { // the kernel had no room for a descriptor
		closeAll(fds)
		src.nack(id, whyShort)
		return
	}
	accepts := m.Ticket != nil && r.adopter.Accepts(*m.Ticket)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, twice := src.held[id]
	switch {
	case twice: // an answer would be taken for one to the first
		closeAll(fds)
	case r.refusing:
		closeAll(fds)
		src.nack(id, whyDraining)
	case !accepts:
		closeAll(fds)
		src.nack(id, "")
	default:
		src.held[id] = held{fd: fds[0], ticket: *m.Ticket, marks: m.Marks}
		src.link.send(opAck, id, "")
	}
}

// release takes a descriptor out of custody. There is none if it was refused
// meanwhile: then the sender knows, or is about to.
func (r *Receiver) release(src *source, id uint64) (held, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := src.held[id]
	delete(src.held, id)
	return h, ok
}

func (r *Receiver) committed(src *source, id uint64, h held) {
	switch err := r.adopt(h); {
	case err == nil:
		src.link.send(opDone, id, "")
	case errors.Is(err, ErrRefused):
		src.nack(id, "")
	default:
		src.nack(id, whyShort)
	}
}

// adopt gives a connection to the adopter. On error no copy is left; it is
// ErrRefused if that was the adopter's decision.
func (r *Receiver) adopt(h held) error {
	f := os.NewFile(uintptr(h.fd), "connection")
	if f == nil {
		return fmt.Errorf("adopt connection: descriptor %d is not valid", h.fd)
	}
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return fmt.Errorf("adopt connection: %w", err)
	}
	if c.RemoteAddr() == nil || !r.adopter.Adopt(c, h.ticket) { // no address: the client has reset it
		c.Close()
		return ErrRefused
	}
	return nil
}
