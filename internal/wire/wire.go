// Package wire is the contract between the supervisor and a worker: the
// environment a worker is born with, the datagrams of systemd's notify
// protocol, and the messages of the channel that workers importing package
// lastcall share with their supervisor.
//
// Both sides may be of any version. A message or field that one side does not
// know is ignored by it, and nothing is ever sent that the other side must
// understand to stay correct: a worker that knows no channel at all is asked
// to stop by signal.
package wire

// Version is what this build writes into every message. It is information,
// for logs and status, and never compared: what a peer can do it announces as
// features in its Hello.
const Version = 1

// Policy says what a drain waits for.
type Policy string

// The three policies of a drain. The zero value means WaitAll.
const (
	WaitAll      Policy = "all"      // everything but what is marked expendable
	WaitCritical Policy = "critical" // only what is marked critical
	WaitTime     Policy = "time"     // the whole drain timeout, whatever is in progress
)

// Class says whether a drain waits for an operation.
type Class string

// The classes of an operation.
const (
	Critical   Class = "critical"   // a drain waits for it
	Expendable Class = "expendable" // a stop may cut it
)
