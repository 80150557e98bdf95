package lastcall

import (
	"context"
	"net/http"
	"strings"

	"github.com/lastcall/lastcall/internal/wire"
)

// A Class says whether a drain waits for an operation. The zero Class is
// unmarked: critical for requests and raw connections, as long as the [Policy]
// is not WaitCritical.
type Class uint8

// The classes of an operation.
const (
	ClassCritical   Class = iota + 1 // a drain waits for it
	ClassExpendable                  // a stop may cut it
	classes         = iota + 1
)

func (c Class) String() string {
	switch c {
	case ClassCritical:
		return "critical"
	case ClassExpendable:
		return "expendable"
	}
	return "unmarked"
}

// A Policy says what a drain waits for. Whatever it is, the drain timeout is
// the limit.
type Policy uint8

// The policies of a drain.
const (
	WaitAll      Policy = iota // everything but what is marked expendable
	WaitCritical               // only what is marked critical
	WaitTime                   // the whole drain timeout, whatever is in progress
)

// settles returns the class an operation has under a policy.
func (p Policy) settles(c Class) Class {
	switch {
	case c != 0:
		return c
	case p == WaitCritical:
		return ClassExpendable
	}
	return ClassCritical
}

func policyOf(p wire.Policy, own Policy) Policy {
	switch p {
	case wire.WaitAll:
		return WaitAll
	case wire.WaitCritical:
		return WaitCritical
	case wire.WaitTime:
		return WaitTime
	}
	return own // none given, or one of a later version
}

// Critical marks the requests of h: a drain waits for them under every policy.
// It may wrap a handler at any depth, the innermost mark counts; outside of a
// [Worker] it does nothing. To be called, and its result used, from any
// goroutine.
func Critical(h http.Handler) http.Handler { return marked{h, ClassCritical} }

// Expendable marks the requests of h: a stop cuts them once nothing critical
// is left and ExpendableGrace has passed. For downloads and streams that a
// client can take up again. Otherwise it is like [Critical].
func Expendable(h http.Handler) http.Handler { return marked{h, ClassExpendable} }

type marked struct {
	next  http.Handler
	class Class
}

func (m marked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if op := operationOf(r.Context()); op != nil {
		op.ledger.mark(op, m.class, r.Pattern)
	}
	m.next.ServeHTTP(w, r)
}

// SetClass marks the operation that ctx belongs to, and no other: the request,
// the connection, or what was begun last on the way. The zero Class takes the
// mark away. Without an operation in ctx, or when it has ended, it does
// nothing. It may be called from any goroutine, during a drain too.
func SetClass(ctx context.Context, c Class) {
	if op := operationOf(ctx); op != nil && c < classes {
		op.ledger.mark(op, c, "")
	}
}

// Draining returns a channel that is closed when the drain begins: the time for
// streams to say goodbye and for loops to end. Without an operation in ctx it
// is closed when any worker of the process begins to drain. Never nil; it may
// be called from any goroutine.
func Draining(ctx context.Context) <-chan struct{} {
	if op := operationOf(ctx); op != nil {
		return op.ledger.drained()
	}
	return process.drained()
}

// patternPath returns the path of a ServeMux pattern, whose method is already
// known.
func patternPath(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return strings.TrimLeft(path, " \t")
	}
	return pattern
}
