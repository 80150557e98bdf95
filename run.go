package lastcall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// A run is one call of Serve. Its own goroutine is the only one that decides
// anything; the others leave their news where it looks, and wake it.
type run struct {
	worker *Worker
	log    *slog.Logger
	in     *inheritance
	link   *link // to the supervisor; nil without one
	mover  *mover
	groups []*group

	wake    chan struct{} // of capacity one: look at everything again
	signals chan os.Signal
	ctxDone <-chan struct{} // nil once it has been seen
	timer   *time.Timer
	stop    chan struct{} // closed when Serve returns

	asked      string // why to drain; "" for not yet
	cutNow     bool
	quit       bool
	draining   bool
	leaving    *leaving // what connections are told, from the last call on
	begun      int      // groups whose connections have been
	interrupts int
	worn       bool      // the supervisor has been told that this process has served enough
	orderBy    time.Time // a signal has come, and the supervisor's order should by then; zero: none has
	nextReport time.Time
	gateSince  time.Time
	lame       lameDuck
	unwound    time.Time // when what was cut has had its time; zero until the deadline

	mu       sync.Mutex // guards what others look at
	plan     plan
	deadline time.Time // of the drain
	failure  error     // of the first server that failed
	alive    int       // servers that have not ended
}

// A group is the servers that drain together, and the ledgers they hold.
type group struct {
	ledgers   []*ledger
	jobs      []job
	listeners []*listener
}

// prepare makes everything ready to serve, sockets included, or undoes it.
func (w *Worker) prepare(ctx context.Context, inherit func() (*inheritance, error), servers []Server) (*run, error) {
	if len(servers) == 0 {
		return nil, errNoServers
	}
	r := &run{
		worker: w, log: w.logger(),
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
		ctxDone: ctx.Done(), timer: time.NewTimer(time.Hour),
		signals: make(chan os.Signal, 16),
		groups:  []*group{{ledgers: []*ledger{newLedger(), &process.ledger}}, {ledgers: []*ledger{newLedger()}}},
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.served {
		return nil, errServedBefore
	}
	// Before anything else: a signal from here on is a request to drain.
	signal.Notify(r.signals, syscall.SIGTERM, syscall.SIGINT)
	in, err := inherit()
	if err != nil {
		signal.Stop(r.signals)
		return nil, fmt.Errorf("serve: %w", err)
	}
	r.in = in
	requests := r.groups[0].ledgers[0]
	requests.limit, requests.full = int64(in.maxRequests), r.wake
	if in.channel != nil {
		r.link = newLink(in.channel, r)
		r.mayMove(slices.ContainsFunc(servers, Server.speaksH2C))
		// Somebody may signal every process there is: to the supervisor these
		// mean a roll and a stop.
		signal.Notify(r.signals, syscall.SIGHUP, syscall.SIGQUIT)
	}
	for i, s := range servers {
		if err := r.add(s); err != nil {
			r.abandon()
			return nil, fmt.Errorf("serve: server %s: %w", cmp.Or(s.Name, s.Addr, fmt.Sprint(i)), err)
		}
	}
	w.served, w.orders.wake = true, r.wake
	return r, nil
}

// mayMove has connections move on a roll, if they can: between those who have
// inherited the same listeners, by whose names they know each other's servers.
func (r *run) mayMove(h2c bool) {
	if len(r.in.listeners) == 0 {
		return
	}
	if err := testIdle(h2c); err != nil {
		r.log.Warn("connections cannot be moved on a rolling restart", "go", runtime.Version(), "error", err)
		return
	}
	r.mover = newMover(r.link, r.log)
}

// add gives a server its listener and its place.
func (r *run) add(s Server) error {
	kinds := 0
	for _, set := range []bool{s.HTTP != nil, s.GRPC != nil, s.Conn != nil, s.Run != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return errors.New("exactly one of HTTP, GRPC, Conn and Run must be set")
	}
	g := r.groups[0]
	if s.Last {
		g = r.groups[1]
	}
	if s.Run != nil {
		g.jobs = append(g.jobs, newRunner(s.Run, s.Name, g.ledgers[0]))
		return nil
	}
	addr := s.Addr
	if addr == "" && s.HTTP != nil {
		addr = s.HTTP.Addr
	}
	nl, name, err := r.in.listen(s.Name, addr)
	if err != nil {
		return err
	}
	l := &listener{Listener: nl, name: name, shared: len(r.in.listeners) > 0, kept: r.in.worker == "" && len(r.in.listeners) > 0, wake: r.wake, log: r.log}
	g.listeners = append(g.listeners, l)
	if s.GRPC != nil {
		g.jobs = append(g.jobs, newGRPCServer(s.GRPC, cmp.Or(s.Name, name, nl.Addr().String()), g.ledgers[0], l))
		return nil
	}
	if s.Conn != nil {
		name := cmp.Or(s.Name, name, nl.Addr().String())
		g.jobs = append(g.jobs, &rawServer{conn: s.Conn, name: name, ledger: g.ledgers[0], listener: l, log: r.log})
		return nil
	}
	r.link.share(s.HTTP, name)
	h := newHTTPServer(s.HTTP, g.ledgers[0], l, r.log)
	if h.mover = r.mover; h.mover != nil {
		h.mover.servers[name] = h
	}
	g.jobs = append(g.jobs, h)
	return nil
}

// abandon undoes what prepare has done.
func (r *run) abandon() {
	signal.Stop(r.signals)
	for _, g := range r.groups {
		for _, l := range g.listeners {
			_ = l.Close()
		}
	}
	r.mover.close()
	r.in.close()
}

// start has every server serve.
func (r *run) start() {
	r.link.start()
	r.beginWatchdog()
	for _, g := range r.groups {
		r.alive += len(g.jobs)
	}
	for _, g := range r.groups {
		for _, j := range g.jobs {
			go func() {
				err := j.serve()
				r.mu.Lock()
				defer r.mu.Unlock()
				r.alive--
				if r.failure == nil && err != nil {
					r.failure = fmt.Errorf("serve: %w", err)
				}
				poke(r.wake)
			}()
		}
	}
}

// close ends what start and prepare have begun, but for work that was cut and
// has not ended.
func (r *run) close() {
	close(r.stop)
	signal.Stop(r.signals)
	r.worker.order(func(o *orders) { o.wake = nil })
	process.reopen(r.wake, r.plan.ending)
	r.mover.close()
	r.in.close()
}

// serve waits until there is a reason to drain, and says on the way that the
// servers accept.
func (r *run) serve() {
	over := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.asked != "" || r.cutNow || r.failure != nil || r.alive == 0
	}
	accepting := func() bool {
		for _, g := range r.groups {
			for _, l := range g.listeners {
				if !l.accepting.Load() {
					return false
				}
			}
		}
		return true
	}
	r.until(func() bool { return over() || accepting() })
	if !over() {
		r.worker.ready.Store(true)
		r.link.ready()
		r.notify("READY=1")
	}
	if !r.until(over, &r.orderBy) {
		r.ask("signal", true)
	}
}

// until waits for done, but not past the earliest of the limits that is set. It
// reports whether done held. Everything that could make it hold wakes it, so
// nothing is polled; and since it looks at everything each time, no two wake-ups
// need be told apart. The limits are read each time too: a deadline that has
// been moved needs no timer to be found and stopped.
func (r *run) until(done func() bool, limits ...*time.Time) bool {
	for {
		r.obey()
		now := time.Now()
		r.tend(now)
		if done() {
			return true
		}
		next := time.Time{}
		for _, l := range limits {
			next = earlier(next, *l)
		}
		if passed(next, now) {
			return false
		}
		r.sleep(next)
	}
}

// sleep waits for news, a signal, or the time.
func (r *run) sleep(next time.Time) {
	next = earlier(earlier(next, r.nextReport), r.lame.lookAt)
	var alarm <-chan time.Time
	if !next.IsZero() {
		r.timer.Reset(time.Until(next))
		alarm = r.timer.C
	}
	select {
	case <-r.wake:
	case <-alarm:
	case s := <-r.signals:
		r.signalled(s)
	case <-r.ctxDone:
		r.ctxDone = nil
		r.ask("the context has ended", false)
	}
}

// tend lets the servers do what is due, and reports.
func (r *run) tend(now time.Time) {
	r.tellWorn()
	r.tendLameDuck(now)
	if !r.draining {
		return
	}
	for _, g := range r.groups {
		for _, j := range g.jobs {
			j.tend(now)
		}
	}
	if passed(r.nextReport, now) {
		r.logWaiting(slog.LevelInfo)
		r.nextReport = now.Add(reportEvery)
	}
}

// tellWorn asks to be replaced, once, when the supervisor's limit is reached.
func (r *run) tellWorn() {
	l := r.groups[0].ledgers[0]
	l.mu.Lock()
	served, over := l.served, l.limit > 0 && l.served >= l.limit
	l.mu.Unlock()
	if over && !r.worn && r.link != nil {
		r.worn = true
		r.link.send(wire.Message{Worn: &wire.Worn{Served: served}})
	}
}

const reportEvery = time.Second

// orderTimeout is how long a worker that got a signal waits for the order of
// its supervisor, which may have got it too.
const orderTimeout = time.Second

// signalled takes a signal.
func (r *run) signalled(s os.Signal) {
	if s == syscall.SIGINT {
		r.interrupts++
	}
	switch {
	case s == syscall.SIGHUP:
		// The supervisor has it too, or it was not meant.
	case r.link != nil && r.asked == "" && r.orderBy.IsZero():
		// A signal to everybody has reached the supervisor, and its order is
		// on the way: it has the kernel turn newcomers away before anybody
		// closes, and so nobody is reset. A signal to this process alone
		// costs that time, and nothing else.
		r.orderBy = time.Now().Add(orderTimeout)
	case s != syscall.SIGINT || r.asked == "":
		r.ask("signal "+s.String(), true)
	case r.interrupts <= 2: // the first one too, if something else has begun the drain
		r.logWaiting(slog.LevelWarn)
	default:
		r.cut()
	}
}

// ask begins the drain, if nobody has; ending: the process ends with it.
func (r *run) ask(why string, ending bool) {
	if r.asked != "" {
		return
	}
	r.asked = why
	r.setPlan(r.worker.plan(why, r.in.worker != ""), ending)
}

func (r *run) setPlan(p plan, ending bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.ending = p.ending || ending
	r.plan = p
}

// cut makes the deadline now.
func (r *run) cut() {
	r.cutNow = true
	r.setDeadline(time.Now())
}

func (r *run) setDeadline(t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = t
}

// obey takes the orders of other goroutines.
func (r *run) obey() {
	w := r.worker
	w.mu.Lock()
	o := w.orders
	w.orders.message, w.orders.lame = nil, nil
	w.mu.Unlock()
	if o.lame != nil && r.asked == "" {
		r.log.Info("lame duck: still serving, not ready any more", "reason", "asked by the supervisor")
		r.beginLameDuck(o.lame.Quiet)
	}
	if m := o.message; m != nil {
		if r.asked == "" {
			r.asked = "the supervisor"
			r.setPlan(w.plan("", true).follow(m, w.DrainTimeout), true)
		}
		r.mu.Lock()
		r.plan.hold = m.Hold
		r.mu.Unlock()
		if !r.cutNow {
			r.setDeadline(o.at.Add(shorter(m.Timeout, w.DrainTimeout)))
		}
		if r.plan.roll && m.Reason != wire.ReasonRoll {
			r.turn()
		}
	}
	if o.why != "" {
		r.ask(o.why, o.gone)
	}
	if o.cut && !r.cutNow {
		r.cut()
		r.ask("asked to cut", false)
	}
	r.quit = r.quit || o.quit || o.gone
}
