package lastcall

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// A link is the worker's end of the channel to its supervisor. A nil link is
// that of a process without one: nothing happens.
type link struct {
	channel *wire.Channel
	run     *run
	log     *slog.Logger
	gone    atomic.Bool // nobody reads any more
	tickets tickets
}

func newLink(c *wire.Channel, r *run) *link { return &link{channel: c, run: r, log: r.log} }

// start introduces the worker, and listens to the supervisor until the channel
// is closed.
func (l *link) start() {
	if l == nil {
		return
	}
	features := []string{"drain", "cut", "hold", "list", "lame", "tickets"}
	if l.run.mover != nil {
		features = append(features, wire.FeatureMove)
	}
	l.send(wire.Message{Hello: &wire.Hello{Package: version(), Features: features}})
	l.tickets.expect()
	go l.receive()
}

// receive turns messages into orders. When the supervisor is gone nobody would
// ever stop this process: it ends by itself.
func (l *link) receive() {
	w := l.run.worker
	for {
		m, err := l.channel.Receive()
		if err != nil {
			l.gone.Store(true)
			w.order(func(o *orders) {
				o.ask("the supervisor is gone")
				o.gone = true
			})
			return
		}
		switch {
		case m.Drain != nil:
			at := time.Now()
			w.order(func(o *orders) { o.message, o.at = m.Drain, at })
		case m.Lame != nil:
			w.order(func(o *orders) { o.lame = m.Lame })
		case m.Cut != nil:
			w.order(func(o *orders) { o.cut = true })
		case m.Tickets != nil:
			l.tickets.take(m.Tickets.Keys)
		case m.Quit != nil:
			w.order(func(o *orders) { o.quit = true })
		case m.Peer != nil:
			l.run.mover.introduced(m.Peer)
		case m.List != nil:
			// From here and not from the goroutine that drains: the answer
			// is about this moment, whatever that one is busy with.
			l.send(l.run.inflight(m.List)...)
		}
	}
}

// send says something to the supervisor, and logs it when that cannot be done.
// After the end of Serve, which closes the channel, a timer may still have had
// something to say: that is nothing to worry anybody with.
func (l *link) send(messages ...wire.Message) {
	if err := l.channel.Send(messages...); err != nil && !l.gone.Load() && !errors.Is(err, net.ErrClosed) {
		l.log.Warn("cannot tell the supervisor", "error", err)
	}
}

func (l *link) ready() {
	if l != nil {
		l.send(wire.Message{Ready: &wire.Ready{}})
	}
}

func (l *link) closed(names []string) {
	if l != nil && len(names) > 0 {
		l.send(wire.Message{Closed: &wire.Closed{Listeners: names}})
	}
}

func (l *link) drained(finished, moved int, cut *CutError) {
	var ops []wire.Operation
	if cut != nil {
		for _, o := range cut.Operations {
			ops = append(ops, onWire(o, ""))
		}
	}
	l.send(paged(ops, func(page []wire.Operation, more bool) wire.Message {
		return wire.Message{Drained: &wire.Drained{Finished: finished, Moved: moved, Cut: page, More: more}}
	})...)
}

// inflight answers a question for the operations in progress.
func (r *run) inflight(q *wire.List) []wire.Message {
	r.mu.Lock()
	policy, deadline := r.plan.policy, r.deadline
	if r.plan.why == "" {
		policy = r.worker.Policy
	}
	r.mu.Unlock()
	answer := wire.Inflight{Request: q.Request}
	if !deadline.IsZero() {
		answer.Left = max(0, time.Until(deadline))
	}
	var views []view
	for _, g := range r.groups {
		t := g.tally(policy)
		answer.Idle += t.idle
		answer.Served += t.served
		for _, l := range g.ledgers {
			views = append(views, l.list(policy, false)...)
		}
	}
	slices.SortStableFunc(views, func(a, b view) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), a.started.Compare(b.started))
	})
	for _, v := range views {
		if v.Class == ClassCritical {
			answer.Critical++
		} else {
			answer.Expendable++
		}
	}
	var ops []wire.Operation
	for _, v := range views[:min(len(views), max(0, q.Max))] {
		ops = append(ops, onWire(v.CutOperation, v.state))
	}
	return paged(ops, func(page []wire.Operation, more bool) wire.Message {
		m := answer
		m.Operations, m.More = page, more
		return wire.Message{Inflight: &m}
	})
}

func onWire(o CutOperation, state string) wire.Operation {
	if o.Stalled {
		state = "stalled"
	}
	return wire.Operation{
		Name: clip(o.Name), Route: clip(o.Route), Class: wire.Class(o.Class.String()),
		State: state, Client: o.Client, Age: o.Age,
	}
}

// clip shortens what a client may have made as long as it likes.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// paged spreads operations over as many messages as they need, one at least.
func paged(ops []wire.Operation, message func(page []wire.Operation, more bool) wire.Message) []wire.Message {
	var out []wire.Message
	for len(out) == 0 || len(ops) > 0 {
		n := min(len(ops), wire.PageSize)
		for n > 1 { // a page of names that are mostly escapes may be too large
			if _, err := wire.Encode(message(ops[:n], true)); err == nil {
				break
			}
			n /= 2
		}
		out = append(out, message(ops[:n], n < len(ops)))
		ops = ops[n:]
	}
	return out
}

// version returns the version of this package in the program, for people.
func version() string {
	const path = "github.com/lastcall/lastcall"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path {
			return cmp.Or(m.Version, "(devel)")
		}
	}
	return "unknown"
}
