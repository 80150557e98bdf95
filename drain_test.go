package lastcall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestCutNames has everything there is outlast the deadline.
func TestCutNames(t *testing.T) {
	g := newGatekeeper()
	defer close(g.leave)
	mux := http.NewServeMux()
	mux.Handle("POST /work/{name}", g)
	mux.Handle("GET /big", Expendable(g))
	causes := make(chan error, 10)
	run := func(ctx context.Context) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	}
	w := &Worker{DrainTimeout: 50 * time.Millisecond, UnwindTimeout: 50 * time.Millisecond}
	s := serve(t, w, Server{Addr: "127.0.0.1:0", HTTP: &http.Server{Handler: mux}}, Server{Run: run, Name: "janitor"})
	post, big := dial(t, s.addr), dial(t, s.addr)
	post.send("POST /work/a%20b?x=1 HTTP/1.1\r\nHost: test\r\n\r\n")
	r := <-g.entered
	big.get("/big")
	<-g.entered
	op, err := Begin(r.Context(), "write set")
	if err != nil {
		t.Fatal(err)
	}
	defer op.End()
	s.Drain()
	var cut *CutError
	if err := s.wait(); !errors.As(err, &cut) {
		t.Fatalf("Serve: %v", err)
	}
	for _, ctx := range []context.Context{r.Context(), op.Context()} {
		if cause := context.Cause(ctx); cause != ErrCut {
			t.Errorf("cause %v, want ErrCut", cause)
		}
	}
	if cause := within(t, "Run is told", causes); cause != ErrCut {
		t.Errorf("cause for Run %v, want ErrCut", cause)
	}
	got := map[string]Class{}
	for _, o := range cut.Operations {
		got[strings.TrimSpace(o.Name+" "+o.Route)] = o.Class
		if isRequest := o.Route != ""; isRequest != (o.Client != "") || o.Age < 50*time.Millisecond || o.Stalled {
			t.Errorf("cut %+v", o)
		}
	}
	want := map[string]Class{"POST /work/{name}": ClassCritical, "GET /big": ClassExpendable, "run janitor": ClassCritical, "write set": ClassCritical}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("cut %v, want %v", got, want)
	}
	post.closed() // by force: the handlers have still not returned
}

// TestPolicies drains a critical, an unmarked and an expendable request under
// each policy, and looks which of them the drain waits for.
func TestPolicies(t *testing.T) {
	for _, test := range []struct {
		policy Policy
		held   []string // let go one after the other, each must hold
		cut    []string
	}{
		{WaitAll, []string{"/critical", "/unmarked"}, []string{"/expendable"}},
		{WaitCritical, []string{"/critical"}, []string{"/unmarked", "/expendable"}},
	} {
		mux := http.NewServeMux()
		gates := map[string]*gatekeeper{}
		for path, mark := range map[string]func(http.Handler) http.Handler{
			"/critical": Critical, "/expendable": Expendable, "/unmarked": func(h http.Handler) http.Handler { return h },
		} {
			gates[path] = newGatekeeper()
			mux.Handle(path, mark(gates[path]))
		}
		s := serve(t, &Worker{Policy: test.policy}, Server{Addr: "127.0.0.1:0", HTTP: &http.Server{Handler: mux}})
		requests := map[string]*http.Request{}
		for path, g := range gates {
			c := dial(t, s.addr)
			c.get(path)
			requests[path] = <-g.entered
		}
		s.Drain()
		s.waitDraining()
		for _, path := range test.held {
			for _, p := range test.cut {
				if requests[p].Context().Err() != nil {
					t.Errorf("%v: %s was cut while %s was in progress", test.policy, p, path)
				}
			}
			close(gates[path].leave)
		}
		for _, path := range test.cut {
			within(t, path+" is cut", requests[path].Context().Done())
			if cause := context.Cause(requests[path].Context()); cause != ErrCut {
				t.Errorf("%v: %s: cause %v", test.policy, path, cause)
			}
			close(gates[path].leave)
		}
		s.drained() // what may be cut is no error
	}
}

// TestWaitTime takes the whole time though nothing is in progress.
func TestWaitTime(t *testing.T) {
	const whole = 100 * time.Millisecond
	s := serveHandler(t, &Worker{Policy: WaitTime, DrainTimeout: whole}, ok)
	begin := time.Now()
	s.Drain()
	s.drained()
	if d := time.Since(begin); d < whole {
		t.Errorf("Serve has returned after %v", d)
	}
}

// TestExpendable cuts a download once nothing else is in progress, after the
// grace.
func TestExpendable(t *testing.T) {
	const grace = 50 * time.Millisecond
	began := make(chan struct{})
	var cause error
	s := serveHandler(t, &Worker{ExpendableGrace: grace}, func(w http.ResponseWriter, r *http.Request) {
		SetClass(r.Context(), ClassExpendable)
		w.Write([]byte("some"))
		http.NewResponseController(w).Flush()
		close(began)
		<-r.Context().Done()
		cause = context.Cause(r.Context())
	})
	c := dial(t, s.addr)
	c.get("/")
	<-began
	begin := time.Now()
	s.Drain()
	s.drained()
	if d := time.Since(begin); d < grace {
		t.Errorf("cut after %v", d)
	}
	if cause != ErrCut {
		t.Errorf("cause %v", cause)
	}
}

// TestDrainingStopsStreams has a stream end by itself.
func TestDrainingStopsStreams(t *testing.T) {
	s := serveHandler(t, &Worker{}, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		fmt.Fprintln(w, "hello")
		if err := rc.Flush(); err != nil {
			t.Error(err)
		}
		<-Draining(r.Context())
		fmt.Fprintln(w, "goodbye")
	})
	c := dial(t, s.addr)
	c.get("/")
	eventually(t, "the stream runs", func() bool { return s.phases(active) == 1 })
	s.Drain()
	if _, body := c.response(); body != "hello\ngoodbye\n" {
		t.Errorf("stream: %q", body)
	}
	s.drained()
}

// TestLastServerEndsLast keeps the admin server until the other has ended.
func TestLastServerEndsLast(t *testing.T) {
	g := newGatekeeper()
	var w Worker
	admin := make(chan string, 1)
	s := serve(t, &w,
		Server{Addr: "127.0.0.1:0", HTTP: &http.Server{Handler: g}},
		Server{Addr: "127.0.0.1:0", Last: true, HTTP: &http.Server{
			Handler:     w.ReadyHandler(),
			BaseContext: func(l net.Listener) context.Context { admin <- l.Addr().String(); return context.Background() },
		}})
	addr := <-admin
	c := dial(t, s.addr)
	c.get("/")
	<-g.entered
	kept := dial(t, addr)
	kept.roundTrip("/readyz")
	s.Drain()
	s.waitDraining()
	eventually(t, "newcomers are refused", func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	for range 3 { // and the admin server is none of it
		kept.get("/readyz")
		if r, body := kept.response(); r.StatusCode != http.StatusServiceUnavailable || r.Close || body != "not ready\n" {
			t.Errorf("%s, close %v, %q", r.Status, r.Close, body)
		}
		other := dial(t, addr)
		other.get("/")
		other.response()
	}
	close(g.leave)
	c.response()
	kept.closed()
	s.drained()
}

// TestLameDuck serves on, not ready, and asks its clients to go.
func TestLameDuck(t *testing.T) {
	var w Worker
	w.LameDuck = time.Hour
	s := serve(t, &w, Server{Addr: "127.0.0.1:0", HTTP: &http.Server{Handler: w.ReadyHandler()}})
	c := dial(t, s.addr)
	c.roundTrip("/")
	s.Drain()
	eventually(t, "the lame duck", func() bool { return strings.Contains(s.logs.String(), "lame duck") })
	for range 2 {
		c := dial(t, s.addr) // still accepted
		c.get("/")
		eventually(t, "not ready", func() bool { return !w.ready.Load() })
		if r, _ := c.response(); r.StatusCode != http.StatusServiceUnavailable || !r.Close {
			t.Errorf("%s, close %v", r.Status, r.Close)
		}
	}
	w.Cut()
	s.drained()
}

// TestConnKind drains raw connections: they hold, are told, and are cut.
func TestConnKind(t *testing.T) {
	told := make(chan struct{}, 2)
	path := t.TempDir() + "/raw.sock"
	handle := func(ctx context.Context, c net.Conn) {
		buf := make([]byte, 10)
		n, _ := c.Read(buf)
		switch string(buf[:n]) {
		case "panic":
			panic("raw")
		case "polite":
			<-Draining(ctx)
			c.Write([]byte("bye"))
		default:
			told <- struct{}{}
			<-ctx.Done()
			if context.Cause(ctx) != ErrCut {
				t.Errorf("cause %v", context.Cause(ctx))
			}
			c.Read(buf) // until it is closed under it
		}
		told <- struct{}{}
	}
	w := &Worker{DrainTimeout: 100 * time.Millisecond, UnwindTimeout: 50 * time.Millisecond}
	s := serve(t, w, Server{Addr: path, Name: "raw", Conn: handle})
	conns := map[string]*client{}
	for _, name := range []string{"panic", "polite", "stubborn"} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conns[name] = newClient(t, c)
		conns[name].send(name)
	}
	conns["panic"].closed()
	within(t, "the stubborn one runs", told)
	s.Drain()
	within(t, "the polite one ends", told)
	if b, err := conns["polite"].r.ReadString('e'); b != "bye" {
		t.Errorf("%q, %v", b, err)
	}
	var cut *CutError
	if err := s.wait(); !errors.As(err, &cut) || len(cut.Operations) != 1 || cut.Operations[0].Name != "raw" {
		t.Errorf("Serve: %v", err)
	}
	within(t, "the stubborn one is closed", told)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if !strings.Contains(s.logs.String(), "panic in connection") {
		t.Errorf("the panic is not in the log:\n%s", s.logs)
	}
}

// TestRunKind ends when all loops have, by themselves, on Draining, or failing.
func TestRunKind(t *testing.T) {
	failure := errors.New("queue lost")
	loop := func(ctx context.Context) error { <-Draining(ctx); return nil }
	for _, test := range []struct {
		name    string
		servers []Server
		drain   bool
		want    error
	}{
		{"nil", []Server{{Run: func(context.Context) error { return nil }}}, false, nil},
		{"drained", []Server{{Run: loop}, {Run: loop}}, true, nil},
		{"failed", []Server{{Run: func(context.Context) error { return failure }}, {Run: loop}}, false, failure},
	} {
		var w Worker
		if test.drain {
			w.Drain() // before Serve: at once
		}
		end := make(chan error, 1)
		go func() { end <- w.Serve(t.Context(), test.servers...) }()
		if err := within(t, "Serve returns", end); !errors.Is(err, test.want) {
			t.Errorf("%s: Serve: %v, want %v", test.name, err, test.want)
		}
	}
}

// TestContextEnds drains at the end of Serve's context, which is not the
// requests'.
func TestContextEnds(t *testing.T) {
	g := newGatekeeper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &Worker{}
	addr := make(chan string, 1)
	srv := &http.Server{Handler: g, BaseContext: func(l net.Listener) context.Context {
		addr <- l.Addr().String()
		return context.Background()
	}}
	end := make(chan error, 1)
	go func() { end <- w.Serve(ctx, Server{Addr: "127.0.0.1:0", HTTP: srv}) }()
	c := dial(t, <-addr)
	c.get("/")
	r := <-g.entered
	cancel()
	within(t, "draining", Draining(r.Context()))
	if err := r.Context().Err(); err != nil {
		t.Errorf("the request's context has ended with Serve's: %v", err)
	}
	close(g.leave)
	c.response()
	if err := within(t, "Serve returns", end); err != nil {
		t.Error(err)
	}
}

func TestServeRefuses(t *testing.T) {
	run := func(context.Context) error { return nil }
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		want    string
		servers []Server
	}{
		{"no servers", nil},
		{"exactly one of HTTP, GRPC, Conn and Run", []Server{{Name: "web"}}},
		{"exactly one of HTTP, GRPC, Conn and Run", []Server{{Run: run, HTTP: &http.Server{}}}},
		{"no address", []Server{{HTTP: &http.Server{}}}},
		{"in use", []Server{{HTTP: &http.Server{Addr: taken.Addr().String()}}}},
	} {
		if err := new(Worker).Serve(t.Context(), test.servers...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Serve: %v, want %q in it", err, test.want)
		}
	}
}

// TestOnExit runs the hook when all has ended, and not for ever.
func TestOnExit(t *testing.T) {
	var order []string
	var mu sync.Mutex
	note := func(s string) { mu.Lock(); order = append(order, s); mu.Unlock() }
	hang := make(chan struct{})
	defer close(hang)
	w := &Worker{
		DrainTimeout: time.Second, UnwindTimeout: time.Millisecond,
		OnDrain: func(ctx context.Context) {
			if op, err := Begin(ctx, "farewell"); err == nil { // it is in progress itself
				op.End()
				note("drain")
			}
		},
		Gate:   func(context.Context) (string, error) { note("gate"); return "", nil },
		OnExit: func(context.Context) { note("exit"); <-hang },
	}
	s := serveHandler(t, w, ok)
	s.Drain()
	s.drained()
	mu.Lock()
	defer mu.Unlock()
	if got := fmt.Sprint(order); got != "[drain gate exit]" {
		t.Errorf("order %s", got)
	}
	if !strings.Contains(s.logs.String(), "hook has not returned") {
		t.Errorf("log:\n%s", s.logs)
	}
}

// TestGateKeepsShut reaches the deadline with a gate that hangs, or says no.
func TestGateKeepsShut(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	for want, gate := range map[string]func(context.Context) (string, error){
		"no answer":   func(context.Context) (string, error) { <-hang; return "", nil },
		"locks: a, b": func(context.Context) (string, error) { return "locks: a, b", nil },
	} {
		s := serveHandler(t, &Worker{Gate: gate, DrainTimeout: 500 * time.Millisecond}, ok)
		s.Drain()
		var cut *CutError
		if err := s.wait(); !errors.As(err, &cut) || cut.Operations[0].Name != "gate" || cut.Operations[0].Route != want {
			t.Errorf("Serve: %v, want %q in it", err, want)
		}
	}
}

// TestDrainFromHandlersAndHooks calls everything from everywhere.
func TestDrainFromHandlersAndHooks(t *testing.T) {
	var w Worker
	var calls atomic.Int32
	everything := func(ctx context.Context) {
		calls.Add(1)
		w.Drain()
		SetClass(ctx, ClassCritical)
		if op, err := Begin(ctx, "more"); err == nil {
			op.End()
		}
		Draining(ctx)
		w.ReadyHandler()
	}
	w.OnDrain, w.OnExit = everything, everything
	w.Gate = func(ctx context.Context) (string, error) { everything(ctx); return "", nil }
	s := serve(t, &w, Server{Addr: "127.0.0.1:0", HTTP: &http.Server{
		Handler:   http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { everything(r.Context()) }),
		ConnState: func(net.Conn, http.ConnState) { everything(context.Background()) },
	}})
	c := dial(t, s.addr)
	c.get("/")
	c.response()
	s.drained()
	if n := calls.Load(); n < 6 {
		t.Errorf("%d calls", n)
	}
}
