package lastcall

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// An Operation is a piece of work in progress that a drain knows of. It is
// made by [Begin] and is over with End.
type Operation struct {
	ledger  *ledger
	parent  *Operation              // what it was begun in; nil for none
	ctx     context.Context         // the context it was begun in, cancelled by cancel
	cancel  context.CancelCauseFunc // for a request of HTTP/1 its connection's
	name    string
	subject subject       // what it serves; nil for work the application began itself
	started time.Duration // since the ledger's epoch
	state   atomic.Uint32

	// Guarded by ledger.mu.
	class      Class
	holds      int8 // a hijacked request ends with both its handler and its connection
	ended      bool
	cut        cause
	dispatched bool   // path is the pattern it was dispatched by
	path       string // of a request
	cutAge     time.Duration
	prev, next *Operation
}

// A subject is what the operations of servers serve: a request, or a raw
// connection.
type subject interface {
	client() string           // its remote address, "" if that is not known
	closer() io.Closer        // what a cut closes in the end; nil for none
	route(path string) string // as it was dispatched, path if that is not known
}

// A cause says why an operation was cut.
type cause uint8

const (
	notCut     cause = iota
	cutSpared        // expendable, and nothing was left to wait for
	cutStalled       // its client did nothing
	cutLate          // the deadline, or an order
)

// The states of an operation, as they are shown.
const (
	stateRunning uint32 = iota
	stateReading        // the handler waits for the request's body
	stateWriting        // the handler has returned, its response has not all gone
	stateHijacked
)

// Begin enters work into the books: a drain waits for it until End, under every
// policy (but see [SetClass]), and it is named if it must be cut. It belongs to
// the worker whose request, connection or Run ctx comes from, else to the
// process.
//
// Once the drain has begun it returns ErrDraining, so that new work cannot
// extend it, except where ctx comes from an operation that is still in
// progress: what was admitted may do all it needs. There is no other error. It
// may be called from any goroutine, and never waits.
//
// The context of a request ends with its handler. Work that goes on after it
// is begun with context.WithoutCancel(r.Context()).
func Begin(ctx context.Context, name string) (*Operation, error) {
	parent := operationOf(ctx)
	l := &process.ledger
	if parent != nil {
		l = parent.ledger
	}
	op := &Operation{name: name, parent: parent, class: ClassCritical}
	op.ctx, op.cancel = context.WithCancelCause(ctx)
	if !l.admit(op) {
		op.cancel(nil)
		return nil, ErrDraining
	}
	return op, nil
}

// Context returns the operation's context, a child of the one given to Begin.
// It is cancelled with the cause ErrCut when the operation is cut, and by End.
func (o *Operation) Context() context.Context { return (*operationContext)(o) }

// End says that the work is over. Only the first call counts. It may be called
// from any goroutine, and never waits.
func (o *Operation) End() {
	o.ledger.end(o)
	o.cancel(nil)
}

// An operationContext is an Operation seen as a context: the conversion costs
// nothing, where a context.WithValue for every request would be one more
// allocation.
type operationContext Operation

type operationKey struct{}

func (c *operationContext) Deadline() (time.Time, bool) { return c.ctx.Deadline() }
func (c *operationContext) Done() <-chan struct{}       { return c.ctx.Done() }
func (c *operationContext) Err() error                  { return c.ctx.Err() }

func (c *operationContext) Value(key any) any {
	if key == (operationKey{}) {
		return (*Operation)(c)
	}
	return c.ctx.Value(key)
}

// operationOf returns the operation ctx belongs to, nil for none.
func operationOf(ctx context.Context) *Operation {
	op, _ := ctx.Value(operationKey{}).(*Operation)
	return op
}

// A view is an operation at one moment, for people.
type view struct {
	CutOperation
	subject subject // nil if there is nothing to be asked about its route
	state   string
	started time.Time
	cut     cause
}

// view is called with ledger.mu held; now is the time of the look.
func (o *Operation) view(p Policy, now time.Time) view {
	v := view{state: stateName(o.state.Load()), started: o.ledger.epoch.Add(o.started), cut: o.cut}
	v.Name, v.Route = o.name, o.path
	v.Class, v.Age, v.Stalled = p.settles(o.class), now.Sub(v.started), o.cut == cutStalled
	if o.cut != notCut {
		v.Age = o.cutAge
	}
	if o.subject != nil {
		v.Client = o.subject.client()
		if !o.dispatched {
			v.subject = o.subject
		}
	}
	return v
}

func stateName(s uint32) string {
	switch s {
	case stateReading:
		return "reading"
	case stateWriting:
		return "writing"
	case stateHijacked:
		return "hijacked"
	}
	return "running"
}
