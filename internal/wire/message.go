package wire

import (
	"encoding/json"
	"fmt"
	"time"
)

// A Message is one datagram of the channel: a JSON object with the version and
// exactly one of the other fields. A message in which none is known is to be
// ignored.
type Message struct {
	Version int `json:"v"`

	// Down, supervisor to worker.
	Drain   *Drain    `json:"drain,omitempty"`
	List    *List     `json:"list,omitempty"`
	Quit    *Quit     `json:"quit,omitempty"`
	Cut     *CutOrder `json:"cut,omitempty"`
	Peer    *Peer     `json:"peer,omitempty"`
	Lame    *Lame     `json:"lame,omitempty"`
	Tickets *Tickets  `json:"tickets,omitempty"`

	// Up, worker to supervisor.
	Hello    *Hello    `json:"hello,omitempty"`
	Ready    *Ready    `json:"ready,omitempty"`
	Closed   *Closed   `json:"closed,omitempty"`
	Worn     *Worn     `json:"worn,omitempty"`
	Inflight *Inflight `json:"inflight,omitempty"`
	Drained  *Drained  `json:"drained,omitempty"`
	Lost     *Lost     `json:"lost,omitempty"`
	Quiet    *Quiet    `json:"quiet,omitempty"`
	Notify   *Notify   `json:"notify,omitempty"`
}

// The reasons for a drain.
const (
	ReasonStop = "stop" // nobody takes over: listeners close for good
	ReasonRoll = "roll" // a successor serves the same listeners
)

// Drain asks a worker to take no more work and to end what it has. Sent again
// it changes nothing but the deadline. Zero settings mean the worker's own.
type Drain struct {
	Reason  string        `json:"reason"`
	Timeout time.Duration `json:"timeout"` // from receipt to the cut, nanoseconds
	Policy  Policy        `json:"policy,omitempty"`
	// Hold: when drained, report it and wait for Quit: a gate is asked first.
	Hold bool `json:"hold,omitempty"`
	// Move: peers follow: keep idle connections for them, and do not ask
	// clients to close.
	Move bool `json:"move,omitempty"`

	UnwindTimeout   time.Duration `json:"unwind_timeout,omitempty"`
	FreshGrace      time.Duration `json:"fresh_grace,omitempty"`
	ExpendableGrace time.Duration `json:"expendable_grace,omitempty"`
	StallTimeout    time.Duration `json:"stall_timeout,omitempty"`
}

// List asks for the operations in progress. Max bounds the number listed; the
// counts are always whole. The answer carries the same Request.
type List struct {
	Request int `json:"request"`
	Max     int `json:"max"`
}

// Lame makes a lame duck of a worker: it serves on, but is not ready any more,
// and asks its clients to go. A Drain follows.
type Lame struct {
	// Quiet: when no request has come for so long, say so, within twice the
	// time. 0: say nothing.
	Quiet time.Duration `json:"quiet,omitempty"` // nanoseconds
}

// Quiet says that a lame duck gets no more requests.
type Quiet struct{}

// Notify is a notification (ParseNotify) of a worker that cannot send
// datagrams: what it would say on its notify socket, as one message. It is no
// Hello: a worker that says nothing else here is asked to drain by signal.
type Notify struct {
	Text string `json:"text"`
}

// Quit lets a drained worker that holds go.
type Quit struct{}

// CutOrder cuts what is in progress now, as if the deadline had passed.
type CutOrder struct{}

// Peer introduces two workers: each gets one end of a SOCK_SEQPACKET pair, over
// which the one that drains hands its idle connections to the other. Only
// workers that announce FeatureMove are introduced.
type Peer struct {
	Worker string `json:"worker"` // the other
	Life   int    `json:"life"`
	Offer  bool   `json:"offer,omitempty"` // this end is the sender's
	// FD is the end. It travels beside the message: Send leaves the caller's
	// descriptor open, Receive gives one that is close-on-exec and the
	// caller's own.
	FD int `json:"-"`
}

// Lost says that the named peer, to which the worker was introduced as the
// sender, is gone. If it still serves, an introduction anew is wanted.
type Lost struct {
	Worker string `json:"worker"`
	Life   int    `json:"life"`
}

// FeatureMove announces in Hello that the worker understands Peer.
const FeatureMove = "move"

// Tickets are the secrets from which all workers of a program make the keys of
// their TLS session tickets, 32 bytes each: the first is for new tickets, the
// others read older ones. They replace those of an earlier message.
type Tickets struct {
	Keys [][]byte `json:"keys"`
}

// Hello is the first message of a worker.
type Hello struct {
	Package  string   `json:"package"` // version of the package, for people
	Features []string `json:"features,omitempty"`
}

// Ready says that the worker serves.
type Ready struct{}

// Closed says that the worker has closed its copies of the named listeners,
// with no connection it had accepted left unanswered in them.
type Closed struct {
	Listeners []string `json:"listeners"`
}

// Worn says that the worker has served as many requests as it should, and asks
// to be replaced. It serves on.
type Worn struct {
	Served int64 `json:"served"`
}

// An Operation is one piece of work in progress, or one that was cut.
type Operation struct {
	Name   string        `json:"name"`             // as given to Begin; "POST" for a request
	Route  string        `json:"route,omitempty"`  // pattern or path of a request
	Class  Class         `json:"class"`            //
	State  string        `json:"state,omitempty"`  // "reading", "running", "writing", "hijacked"
	Client string        `json:"client,omitempty"` // remote address
	Age    time.Duration `json:"age"`              // nanoseconds
}

// Inflight answers List: counts of all operations, the oldest of them listed,
// critical ones first. More: the next message continues the list.
type Inflight struct {
	Request    int           `json:"request"`
	Critical   int           `json:"critical"`
	Expendable int           `json:"expendable"`
	Idle       int           `json:"idle"` // connections with nothing in progress
	Left       time.Duration `json:"left"` // until the cut, while draining; else 0
	Served     int64         `json:"served"`
	Operations []Operation   `json:"operations,omitempty"`
	More       bool          `json:"more,omitempty"`
}

// Drained is the last message of a worker: how many operations ended by
// themselves since the drain began, how many idle connections went on to a
// peer, and which operations were cut. After it the exit status of the process
// means nothing. More: the next message continues Cut; each has the counts.
type Drained struct {
	Finished int         `json:"finished"`
	Moved    int         `json:"moved,omitempty"`
	Cut      []Operation `json:"cut,omitempty"`
	More     bool        `json:"more,omitempty"`
}

// PageSize is how many operations one message lists at the most, so that a
// message stays well below the default socket buffer (212,992 bytes).
const PageSize = 100

// MaxMessage is the size of the largest message either side sends or accepts.
const MaxMessage = 64 << 10

// Encode returns the datagram of m, with the version of this build.
func Encode(m Message) ([]byte, error) {
	m.Version = Version
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("encode message: %d bytes, more than %d", len(b), MaxMessage)
	}
	return b, nil
}

// Decode reads one datagram. It never panics, whatever the bytes. What travels
// beside them, Peer.FD, is not set.
func Decode(b []byte) (Message, error) {
	var m Message
	if len(b) > MaxMessage {
		return m, fmt.Errorf("decode message: %d bytes, more than %d", len(b), MaxMessage)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Message{}, fmt.Errorf("decode message: %w", err)
	}
	return m, nil
}
