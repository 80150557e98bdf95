package supervisor

import "fmt"

// A Sign is what is waited for to know that a worker is ready.
type Sign string

// The signs. A worker of package lastcall says so over its channel, which is
// its READY=1.
const (
	AnySign    Sign = ""          // whichever comes first: its word, that it accepts, that it stays up
	SaysReady  Sign = "notify"    // READY=1, and nothing else
	Accepts    Sign = "accepting" // it is seen to wait for connections
	StaysUp    Sign = "uptime"    // for MinUptime
	LineMatch  Sign = "log"       // it writes a line
	FirstBreak Sign = "fd"        // it writes a newline to a descriptor
)

// ReadyBy tells when a worker of which no question is asked is ready.
type ReadyBy struct {
	Sign Sign
	Line string // LineMatch: the regular expression; {worker} and the like are substituted
	FD   int    // FirstBreak: the worker's descriptor, above those of its listeners
}

// readiness describes what tells that a worker is ready, for people.
func (p *Program) readiness() string {
	by := p.ReadyBy
	switch {
	case p.Ready != nil:
		return "the answer of " + p.Ready.String()
	case by.Sign == SaysReady:
		return "READY=1 on its notify socket"
	case by.Sign == Accepts:
		return "it to accept connections"
	case by.Sign == StaysUp:
		return fmt.Sprintf("it to stay up for %v", p.MinUptime)
	case by.Sign == LineMatch:
		return fmt.Sprintf("a line of its output that matches %q", by.Line)
	case by.Sign == FirstBreak:
		return fmt.Sprintf("a newline on its descriptor %d", by.FD)
	case len(p.Listen) > 0:
		return "READY=1, or it to accept connections"
	}
	return "READY=1 on its notify socket"
}

// ownWord tells whether a worker is ready when it says so. Where something else
// was configured, that knows better.
func (p *Program) ownWord() bool {
	return p.Ready == nil && (p.ReadyBy.Sign == AnySign || p.ReadyBy.Sign == SaysReady)
}
