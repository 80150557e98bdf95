package lastcall

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// A Worker is a process that serves and ends well. The zero value works. Its
// fields must not be changed once Serve has been called, and it must not be
// copied; every method may be called from any goroutine.
//
// Of the durations zero means the default and a negative one none at all. A
// supervisor's own settings go before them.
type Worker struct {
	// DrainTimeout is the time from the begin of the drain to the cut.
	// 0: 25 s. Under a supervisor the smaller of the two counts, if set.
	DrainTimeout time.Duration
	// UnwindTimeout is what an operation that was cut has to end before its
	// connection is closed. 0: 200 ms.
	UnwindTimeout time.Duration
	// LameDuck delays the drain of a process without a supervisor that is
	// told to stop: it goes on accepting and serving, while ReadyHandler says
	// 503 and responses ask their clients to go. For load balancers that take
	// a while to notice. It comes before DrainTimeout begins. 0: none.
	LameDuck time.Duration
	// LameDuckQuiet ends the lame duck early: when no request has come for so
	// long, it is over within twice that. Requests of ReadyHandler do not
	// count; of gRPC whatever a client sends does, pings and health checks
	// too. 0: never early.
	LameDuckQuiet time.Duration
	// FreshGrace is what a new connection has to send a whole request header
	// once the drain has begun. 0: 1 s.
	FreshGrace time.Duration
	// ExpendableGrace is what expendable operations have to end by themselves
	// once nothing critical is left. 0: none.
	ExpendableGrace time.Duration
	// StallTimeout is the patience, during a drain, with a client that has to
	// send or take something and does neither. It is noticed within twice the
	// time, never before. 0: 10 s.
	StallTimeout time.Duration

	// Policy is what the drain waits for.
	Policy Policy

	// Gate is asked before the process may end, at once and then each
	// GateEvery (0: 1 s), when nothing is in progress any more: "" and nil
	// mean go. What it is waiting for, an error, a panic and no answer at all
	// mean not yet, until the drain timeout; then it counts as cut. Its
	// context is cancelled when nobody waits for the answer any more.
	Gate      func(context.Context) (waitingFor string, err error)
	GateEvery time.Duration

	// OnDrain is called when the last call has been made: what runs is the
	// last. It is an operation like any other: it is waited for and can be
	// cut, and the rest of the drain goes on beside it.
	OnDrain func(context.Context)
	// OnExit is called when nothing is in progress any more, and is waited
	// for until the drain timeout, at least for UnwindTimeout.
	OnExit func(context.Context)

	// Logger gets what is worth knowing: nil: slog.Default().
	Logger *slog.Logger

	ready  atomic.Bool
	mu     sync.Mutex
	served bool
	orders orders
}

// The defaults of a Worker's settings.
const (
	defaultDrainTimeout  = 25 * time.Second
	defaultUnwindTimeout = 200 * time.Millisecond
	defaultFreshGrace    = time.Second
	defaultStallTimeout  = 10 * time.Second
	defaultGateEvery     = time.Second
)

// A Server is one thing a Worker serves. Exactly one of HTTP, GRPC, Conn and
// Run is set.
type Server struct {
	// Name is the name of the inherited socket the server is for. Without one
	// it is the only inherited socket there is, or the one bound to Addr. For
	// Run it is only a name.
	Name string
	// Addr is where it listens if no socket is inherited: "127.0.0.1:8080",
	// ":8080", "/run/app.sock". Beside inherited sockets none is bound.
	// "": HTTP.Addr.
	Addr string
	// HTTP is served with TLS if its TLSConfig has certificates. It is taken
	// over: do not change it any more, nor call its methods. Its ConnState
	// and ConnContext are called as ever. What was given to RegisterOnShutdown
	// is called when its last connection of HTTP/1 has gone.
	HTTP *http.Server
	// GRPC is a *grpc.Server. The drain calls its GracefulStop, so its clients
	// are told to go, twice as the protocol wants it, and every call that they
	// began before is served to its end; it is held until GracefulStop returns,
	// as one critical operation that is named "grpc" and the server's name. A
	// client that has connected, and sent nothing or not all of its handshake,
	// is given FreshGrace. At the cut its connections are closed, which cancels the contexts of calls, and
	// its Stop is called. Calls cannot be seen from outside: what is to be
	// listed, and named when it is cut, an interceptor enters by [Begin]. A
	// method that is not to be waited for watches [Draining]. TLS is the
	// application's, by its credentials, and its session tickets are not
	// shared. Do not call its methods.
	GRPC interface {
		Serve(net.Listener) error
		GracefulStop()
		Stop()
	}
	// Conn serves one connection, which is one operation, and is closed when
	// it returns. The context is cancelled when it is cut. A panic is logged
	// and ends the connection only.
	Conn func(context.Context, net.Conn)
	// Run serves something else: a queue, a timer. It is one critical
	// operation, and has to watch Draining(ctx): its context is cancelled only
	// when it is cut. An error ends the Worker; nil does when nothing else
	// is served any more.
	Run func(context.Context) error
	// Last has the server drain after all others: metrics, health, admin.
	Last bool
}

// Serve serves until the process is told to stop, drains, and returns. It is
// told by SIGTERM or SIGINT, by its supervisor, by the end of ctx, or by
// Drain. The contexts of requests do not descend from ctx.
//
// It returns nil if all ended by itself; *[CutError] if something was cut; the
// error of a server that failed, after the others have drained; both joined;
// or at once what keeps it from serving. It can be called once for a Worker,
// and once in a process that has inherited sockets.
//
// While it runs SIGTERM and SIGINT are its own. Any number of SIGTERM is one.
// The second SIGINT logs what is waited for, the third cuts.
func (w *Worker) Serve(ctx context.Context, servers ...Server) error {
	return w.serve(ctx, process.inherit, servers)
}

func (w *Worker) serve(ctx context.Context, inherit func() (*inheritance, error), servers []Server) error {
	r, err := w.prepare(ctx, inherit, servers)
	if err != nil {
		return err
	}
	defer r.close()
	r.start()
	r.serve()
	return r.drain()
}

// Drain begins the drain, as SIGTERM would, and does not wait for it. Before
// Serve it has Serve drain at once; after it does nothing.
func (w *Worker) Drain() {
	w.order(func(o *orders) { o.ask("asked by the application") })
}

// Cut cuts what is in progress, as if the drain timeout had passed, and does
// not wait. It begins the drain if that has not begun.
func (w *Worker) Cut() {
	w.order(func(o *orders) { o.cut = true })
}

// ReadyHandler returns a handler for load balancers: 200 while the worker
// serves, 503 before that and from the lame duck on. It stays so after Serve.
func (w *Worker) ReadyHandler() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if op := operationOf(r.Context()); op != nil {
			op.ledger.probed()
		}
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Header().Set("Cache-Control", "no-store")
		code, text := http.StatusServiceUnavailable, "not ready\n"
		if w.ready.Load() {
			code, text = http.StatusOK, "ready\n"
		}
		rw.WriteHeader(code)
		_, _ = rw.Write([]byte(text)) // the client has gone
	})
}

func (w *Worker) logger() *slog.Logger {
	if w.Logger != nil {
		return w.Logger
	}
	return slog.Default()
}

// Orders are what others want of the goroutine that serves. They are state, not
// a queue, so that giving one never waits and any number are one.
type orders struct {
	wake    chan<- struct{} // nil outside of Serve
	why     string          // to drain; "" for not yet
	message *wire.Drain     // the newest, until it is seen
	at      time.Time       // when it came
	lame    *wire.Lame      // until it is seen
	cut     bool
	quit    bool // the supervisor lets a drained worker go
	gone    bool // the supervisor has ended
}

func (o *orders) ask(why string) {
	if o.why == "" {
		o.why = why
	}
}

func (w *Worker) order(change func(*orders)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.orders)
	poke(w.orders.wake)
}

// or returns a setting: zero is the default, negative none.
func or(set, byDefault time.Duration) time.Duration {
	switch {
	case set < 0:
		return 0
	case set == 0:
		return byDefault
	}
	return set
}
