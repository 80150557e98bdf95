package lastcall

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrCut is the cause of the context of an operation that was cut:
// context.Cause(ctx) == lastcall.ErrCut.
var ErrCut = errors.New("lastcall: cut, the time to drain is over")

// ErrDraining is returned by [Begin] once the drain has begun.
var ErrDraining = errors.New("lastcall: draining, no new work is begun")

var (
	errServedBefore = errors.New("serve: this Worker has served already; each Serve needs one of its own")
	errNoServers    = errors.New("serve: no servers")
)

// A CutError says that a drain ended by cutting work: at its deadline, by
// [Worker.Cut], or because a client stalled. Expendable operations that a stop
// cuts as it may are not a reason for it. errors.Is(err, ErrCut) holds for it.
type CutError struct {
	Operations []CutOperation // what was cut, the oldest first
}

// A CutOperation is one operation that did not end by itself.
type CutOperation struct {
	Name    string // as given to Begin; the method of a request; "run NAME"; "gate"
	Route   string // pattern or path of a request; what a gate waited for
	Class   Class
	Age     time.Duration // from its begin to the cut
	Client  string        // remote address, "" for none
	Stalled bool          // cut because the client neither took nor sent a byte
}

func (o CutOperation) String() string {
	var b strings.Builder
	b.WriteString(o.Name)
	if o.Route != "" {
		b.WriteString(" " + o.Route)
	}
	fmt.Fprintf(&b, " (%s, %s old", o.Class, round(o.Age))
	if o.Client != "" {
		b.WriteString(", from " + o.Client)
	}
	if o.Stalled {
		b.WriteString(", stalled")
	}
	b.WriteString(")")
	return b.String()
}

func (e *CutError) Error() string {
	const listed = 10
	names := make([]string, 0, listed+1)
	for i, o := range e.Operations {
		if i == listed {
			names = append(names, fmt.Sprintf("and %d more", len(e.Operations)-listed))
			break
		}
		names = append(names, o.String())
	}
	return fmt.Sprintf("cut %d of the operations in progress: %s", len(e.Operations), strings.Join(names, ", "))
}

func (e *CutError) Unwrap() error { return ErrCut }

// round makes a duration readable without making it 0.
func round(d time.Duration) time.Duration {
	for _, to := range []time.Duration{100 * time.Millisecond, time.Millisecond} {
		if d >= 10*to {
			return d.Round(to)
		}
	}
	return d.Round(time.Microsecond)
}
