package handoff

import (
	"encoding/json"
	"fmt"
)

// An op is the kind of a message. A receiver of one that it does not know
// ignores the message, so that the two sides may differ in version.
type op string

const (
	opOffer  op = "offer"
	opAck    op = "ack"
	opNack   op = "nack"
	opCommit op = "commit"
	opDone   op = "done"
	opAbort  op = "abort"
	opLoad   op = "load"
)

// A why says what a NACK means for other connections. One that is not known
// means nothing for them.
type why string

const (
	whyDraining why = "draining" // the receiver takes nothing any more
	whyShort    why = "short"    // it lacks descriptors or memory just now
)

// A message is one datagram of the pair: a JSON object, which versions can add
// to and people can read in strace. That is a tenth of what a move takes of
// both processes' CPUs; nearly all the rest is system calls.
type message struct {
	Op     op       `json:"op"`
	IDs    []uint64 `json:"ids"`              // of the offers it is about; an OFFER is one
	Why    why      `json:"why,omitempty"`    // of a NACK
	Ticket *Ticket  `json:"ticket,omitempty"` // of an OFFER
	Marks  *marks   `json:"marks,omitempty"`  // of an OFFER; none if the kernel does not count for this socket
	Load   int      `json:"load,omitempty"`   // of a receiver: how many connections it has
}

// maxIDs is how many offers a message can be about: what a window may hold.
const maxIDs = window

// maxMessage is the size of the largest message, in bytes. The longest part is
// the name of a listener.
const maxMessage = 4 << 10

func encode(m message) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(m.IDs) > maxIDs {
		return nil, fmt.Errorf("encode message: %d ids, more than %d", len(m.IDs), maxIDs)
	}
	if len(b) > maxMessage {
		return nil, fmt.Errorf("encode message: %d bytes, more than %d", len(b), maxMessage)
	}
	return b, nil
}

// decode reads one datagram. It never panics, whatever the bytes.
func decode(b []byte) (message, error) {
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return message{}, fmt.Errorf("decode message: %w", err)
	}
	if len(m.IDs) > maxIDs {
		return message{}, fmt.Errorf("decode message: %d ids, more than %d", len(m.IDs), maxIDs)
	}
	return m, nil
}

// Marks are how far a connection has come: two of the same socket that are
// equal prove that nobody has read from it or written to it in between.
type marks struct {
	In  uint64 `json:"in"`  // bytes taken out of the socket
	Out uint64 `json:"out"` // bytes put into it, and some constant
}

// same reports whether two marks are known and equal.
func same(a, b *marks) bool { return a != nil && b != nil && *a == *b }
