package lastcall

import (
	"io"
	"sync"
	"time"
)

// process is the ledger of work that belongs to no worker. Every worker of the
// process drains it with its own.
var process = &processLedger{ledger: ledger{epoch: time.Now(), draining: make(chan struct{})}}

// A ledger knows what is in progress: the operations, oldest first, and how
// many connections have none. Admission, the counts and the flag that a drain
// has begun are guarded by one lock, so that no work can slip in between the
// flag and the look at the counts.
type ledger struct {
	epoch    time.Time // operations count from here
	mu       sync.Mutex
	draining chan struct{} // closed when the drain begins
	closed   bool          // it has begun
	wakes    []chan<- struct{}

	first, last *Operation
	counts      [classes]int // by class, without those that were cut
	unwinding   int          // cut, and not yet ended
	idle        int          // HTTP connections without an operation
	served      int64        // requests and raw connections that have ended
	arrived     int64        // that have begun, less those that only ask how we are
	limit       int64        // of served; reaching it is told to full; 0: none
	full        chan<- struct{}
	finished    int // operations that have ended by themselves since the drain began
	cut         []*Operation
}

func newLedger() *ledger { return &ledger{epoch: time.Now(), draining: make(chan struct{})} }

// drained returns the channel that is closed when the drain begins.
func (l *ledger) drained() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.draining
}

// close begins the drain. From now on every change is told to wake.
func (l *ledger) close(wake chan<- struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakes = append(l.wakes, wake)
	if !l.closed {
		l.closed = true
		close(l.draining)
	}
}

// changed tells the drains that wait; l.mu is held. A channel of capacity one
// cannot lose a wake-up: whoever takes the token looks at everything after it.
func (l *ledger) changed() {
	for _, wake := range l.wakes {
		poke(wake)
	}
}

func poke(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// admit enters an operation, unless the drain has begun and none of those it
// was begun in is still in progress.
func (l *ledger) admit(op *Operation) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		p := op.parent
		for p != nil && (p.ended || p.cut != notCut) {
			p = p.parent
		}
		if p == nil {
			return false
		}
	}
	l.enter(op)
	return true
}

// begin enters an operation whatever the state: a request that has been read is
// served, and a drain is bounded by the connections that remain.
func (l *ledger) begin(op *Operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enter(op)
}

func (l *ledger) enter(op *Operation) {
	op.ledger = l
	op.started = time.Since(l.epoch)
	op.prev = l.last
	if l.last == nil {
		l.first = op
	} else {
		l.last.next = op
	}
	l.last = op
	l.counts[op.class]++
	if op.subject != nil {
		l.arrived++
	}
	if c := op.connOf(); c != nil {
		if c.operations == 0 && !c.gone {
			l.idle--
		}
		c.operations++
	}
}

// end takes an operation out of the books, once.
func (l *ledger) end(op *Operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if op.ended {
		return
	}
	op.ended = true
	if op.subject != nil {
		if l.served++; l.served == l.limit {
			poke(l.full)
		}
	}
	switch {
	case op.cut != notCut:
		l.unwinding--
	case l.closed:
		l.finished++
		fallthrough
	default:
		l.counts[op.class]--
	}
	l.unlink(op)
	if c := op.connOf(); c != nil {
		c.operations--
		if c.operations == 0 && !c.gone {
			l.idle++
		}
	}
	l.changed()
}

func (l *ledger) unlink(op *Operation) {
	if op.prev == nil {
		l.first = op.next
	} else {
		op.prev.next = op.next
	}
	if op.next == nil {
		l.last = op.prev
	} else {
		op.next.prev = op.prev
	}
	op.prev, op.next = nil, nil
}

// probed notes that a request only asks whether the worker is ready.
func (l *ledger) probed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived--
}

// arrive counts something that may be a request.
func (l *ledger) arrive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived++
}

// arrivals returns how many requests and raw connections have begun; of gRPC it
// is what has come from clients since a lame duck began.
func (l *ledger) arrivals() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.arrived
}

// release ends an operation that several things hold with the last of them,
// and reports whether that was it.
func (l *ledger) release(op *Operation) bool {
	l.mu.Lock()
	op.holds--
	over := op.holds <= 0
	l.mu.Unlock()
	if over {
		l.end(op)
	}
	return over
}

// hijack notes that a request has become a connection of the application's: it
// may be cut unless it is marked, and ends with its handler and the connection.
func (l *ledger) hijack(op *Operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	op.holds = 2
	if op.class == 0 {
		l.reclass(op, ClassExpendable)
	}
}

// mark gives an operation its class, and its route if that is known.
func (l *ledger) mark(op *Operation, c Class, pattern string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pattern != "" {
		op.path, op.dispatched = patternPath(pattern), true
	}
	l.reclass(op, c)
}

func (l *ledger) reclass(op *Operation, c Class) {
	if op.ended || op.cut != notCut {
		return
	}
	l.counts[op.class]--
	l.counts[c]++
	op.class = c
	l.changed()
}

// opened enters a connection, leaves takes it out: it was closed or hijacked.
func (l *ledger) opened() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle++
}

func (l *ledger) leaves(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.gone {
		return
	}
	c.gone = true
	if c.operations == 0 {
		l.idle--
	}
	l.changed()
}

// A tally is what is in progress, seen by a drain.
type tally struct {
	critical   int // operations that hold it
	expendable int // operations that do not
	unwinding  int // operations that were cut
	idle       int // connections, each of which may be about to begin one
	served     int64
	finished   int
}

func (l *ledger) tally(p Policy) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := tally{unwinding: l.unwinding, idle: l.idle, served: l.served, finished: l.finished}
	for c, n := range l.counts {
		if p.settles(Class(c)) == ClassCritical {
			t.critical += n
		} else {
			t.expendable += n
		}
	}
	return t
}

// cancel cuts those operations that match, and cancels their contexts when it
// holds no lock. It returns how many.
func (l *ledger) cancel(why cause, match func(*Operation) bool) int {
	l.mu.Lock()
	var cut []*Operation
	for op := l.first; op != nil; op = op.next {
		if op.cut == notCut && match(op) {
			op.cut, op.cutAge = why, time.Since(l.epoch)-op.started
			cut = append(cut, op)
			l.counts[op.class]--
			l.unwinding++
		}
	}
	l.cut = append(l.cut, cut...)
	l.changed()
	l.mu.Unlock()
	for _, op := range cut {
		op.cancel(ErrCut)
	}
	return len(cut)
}

// list returns the operations in progress, or those that were cut, oldest
// first.
func (l *ledger) list(p Policy, cut bool) []view {
	now := time.Now()
	l.mu.Lock()
	ops := l.cut
	if !cut {
		ops = nil
		for op := l.first; op != nil; op = op.next {
			ops = append(ops, op)
		}
	}
	views := make([]view, len(ops))
	for i, op := range ops {
		views[i] = op.view(p, now)
	}
	l.mu.Unlock()
	for i := range views { // without the lock: it may ask the application's mux
		if v := &views[i]; v.subject != nil {
			v.Route = v.subject.route(v.Route)
		}
	}
	return views
}

// closers returns what the cut operations that have still not ended hold open.
func (l *ledger) closers() []io.Closer {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []io.Closer
	for op := l.first; op != nil; op = op.next {
		if op.cut == notCut || op.subject == nil {
			continue
		}
		if c := op.subject.closer(); c != nil {
			out = append(out, c)
		}
	}
	return out
}

// A processLedger is the ledger of the process, and remembers what only one
// Serve of a process can have.
type processLedger struct {
	ledger
	claim   sync.Mutex
	claimed string // what came with the process, once it has been taken

	drains int // guarded by ledger.mu
}

// close begins a drain of the process's own work, with others or alone.
func (p *processLedger) close(wake chan<- struct{}) {
	p.mu.Lock()
	p.drains++
	p.mu.Unlock()
	p.ledger.close(wake)
}

// reopen ends what close began. When the process ends with the drain it stays
// closed: work begun after Serve has returned would be lost without a word.
func (p *processLedger) reopen(wake chan<- struct{}, ending bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.wakes {
		if w == wake {
			p.wakes = append(p.wakes[:i], p.wakes[i+1:]...)
			break
		}
	}
	if ending {
		return
	}
	if p.drains--; p.drains == 0 {
		p.closed, p.draining = false, make(chan struct{})
		p.cut, p.finished = nil, 0
	}
}
