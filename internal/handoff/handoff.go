// Package handoff moves a live connection from one process to another, while
// the client notices nothing.
//
// A SOCK_SEQPACKET pair joins a [Sender], in a worker that drains, and a
// [Receiver], in a sibling that serves on. One connection is moved by
//
//	sender                      receiver
//	OFFER(id, descriptor) --->  holds it, reads nothing
//	                      <---  ACK(id), or NACK(id): not taken
//	COMMIT(id)            --->  it is the receiver's
//	                      <---  DONE(id), or NACK(id): not a byte was read
//	ABORT(id)             --->  before COMMIT: closed without a read
//	                      <---  NACK(id)
//	                      <---  LOAD: at first, so that the sender can choose
//
// An OFFER is one connection's. All other messages may be about several: each
// side reads what there is to read before it answers, and then says all of a
// kind at once, so that many moves share the price of a message. One that is
// about several is as many that came one after the other.
//
// The sender keeps its own descriptor until DONE. So at every step, whoever is
// killed, stopped or short of descriptors, exactly one side goes on with the
// connection, and knows it:
//
//   - The receiver is gone before COMMIT: the connection is the sender's.
//   - It is gone between COMMIT and DONE: the sender asks the socket whether a
//     byte was read or written since the offer. If not, it is the sender's.
//   - The sender is gone before COMMIT: the offer counts as committed, if no
//     byte was read or written since. There is nobody else to serve it.
//   - The receiver says nothing in time: the sender takes the connection back.
//     It says so in the same queue that holds the offer, hence in order: a
//     receiver that wakes up reads ABORT before it could read COMMIT.
//
// Rejected: handing over without COMMIT, where a receiver that dies with a full
// queue takes connections with it that nobody has looked at; and many
// descriptors a message, of which the kernel silently drops what exceeds the
// receiver's limit.
package handoff

import (
	"errors"
	"net"
	"time"
)

// A Ticket is what the receiver must know of a connection beside its
// descriptor.
type Ticket struct {
	Listener string        `json:"listener,omitempty"` // name of the listener it was accepted from
	Fresh    bool          `json:"fresh,omitempty"`    // no byte has ever come on it
	Method   string        `json:"method,omitempty"`   // of its last request, "" if Fresh
	Idle     time.Duration `json:"idle,omitempty"`     // since it fell idle, or since it was accepted; nanoseconds on the wire

	// Offered: an earlier offer of this connection was never answered, so a
	// copy of its descriptor may lie in the queue of a process that stands
	// still. As long as it does, close(2) sends no FIN: whoever ends the
	// connection must shut it down before. The Sender sets it for offers that
	// follow; a connection that came with it keeps it when it is sent on.
	Offered bool `json:"offered,omitempty"`
}

// An Adopter takes the connections a Receiver is given. Accepts and Adopt are
// called from the Receiver's goroutines, one for each pair, with no lock held;
// while one runs, nothing else arrives on its pair, so neither may wait for
// anything.
type Adopter interface {
	// Load returns how many connections the adopter has, of whatever origin:
	// a Sender gives to the peer that has fewest. It is called from any
	// goroutine with locks of the Receiver held, and may not call it.
	Load() int

	// Accepts is asked when a connection is offered. It decides nothing yet:
	// the connection may never come.
	Accepts(Ticket) bool

	// Adopt takes over a connection. From the moment it returns true, and
	// earlier if it likes, the connection is the adopter's to read. False: it
	// was refused, and not a byte was read or written; the Receiver closes its
	// copy, and the sender serves on.
	Adopt(net.Conn, Ticket) bool
}

// ErrRefused: no peer has taken the connection. It is the caller's as it was
// before, with every byte.
var ErrRefused = errors.New("no peer takes the connection")

// ErrLost: the connection was given to a peer that has not said what became of
// it. It may have been read from. The caller closes its copy.
var ErrLost = errors.New("the peer that was given the connection has not confirmed it")

// errOffered marks an error after which a copy may remain; see Offered.
var errOffered = errors.New("a copy of it may remain with a peer that does not answer")

// Offered reports whether the connection that Send has returned err for may
// have a copy left in the queue of a peer that does not answer. Then close(2)
// alone sends no FIN as long as that peer stands still: the caller must shut
// the connection down before it closes it, and set the field Offered of its
// Ticket should it send it again.
func Offered(err error) bool { return errors.Is(err, errOffered) }
