package lastcall

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// exchanges are requests of every kind, and what the echo says to them.
var exchanges = []struct{ request, stray, answer string }{
	{"GET /get HTTP/1.1\r\nHost: t\r\n\r\n", "", "GET /get "},
	{"POST /post HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello", "\r\n", "POST /post hello"},
	{"GET /after HTTP/1.1\r\nHost: t\r\n\r\n", "", "GET /after "},
	{"POST /chunked HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "", "POST /chunked abcde"},
	{"POST /expect HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nxyz", "", "POST /expect xyz"},
	{"GET /last HTTP/1.1\r\nHost: t\r\n\r\n", "", "GET /last "},
}

// TestMoveAtEveryByte cuts a stream of requests at every byte, rolls there, and
// compares every response. The connection lives through all of it.
func TestMoveAtEveryByte(t *testing.T) {
	var accepted atomic.Int64
	f := newFamily(t, func(name string) *http.Server { return counted(answers(name), &accepted) })
	defer f.end()
	var stream string
	for _, e := range exchanges {
		stream += e.request + e.stray
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	c := dial(t, f.current.addr)
	for cut := 0; cut <= len(stream); cut += step {
		c.send(stream[:cut])
		answered := c.expect(0, answersWithin(cut))
		old := f.roll()
		if between(cut) {
			eventually(t, "the connection has moved", func() bool { return phasesOf(old, idle) == 0 })
		}
		c.send(stream[cut:])
		c.expect(answered, len(exchanges))
		f.gone(old)
		// Whatever it was doing, it is with the successor now.
		c.get("/who")
		if r, _ := c.response(); r.Header.Get("Worker") != fmt.Sprint(f.life) {
			t.Fatalf("cut at %d of %q: served by %s, want %d", cut, stream[:cut], r.Header.Get("Worker"), f.life)
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
}

// answersWithin returns how many exchanges the first n bytes of the stream hold.
func answersWithin(n int) int {
	for i, e := range exchanges {
		if n < len(e.request) {
			return i
		}
		n -= len(e.request) + len(e.stray)
	}
	return len(exchanges)
}

// between reports whether the first n bytes of the stream end with an exchange.
func between(n int) bool {
	for _, e := range exchanges {
		if n -= len(e.request); n == 0 {
			return true
		}
		n -= len(e.stray)
	}
	return false
}

// expect reads the responses to some of the exchanges.
func (c *client) expect(from, to int) int {
	c.t.Helper()
	for i := from; i < to; i++ {
		r, body := c.response()
		if r.StatusCode == http.StatusContinue {
			r, body = c.response()
		}
		if want := exchanges[i].answer + " " + c.LocalAddr().String(); r.StatusCode != http.StatusOK || r.Close || body != want {
			c.t.Fatalf("%s, close %v, %q; want %q and kept alive", r.Status, r.Close, body, want)
		}
	}
	return to
}

// TestMoveEveryKind has connections of every kind at the time of a roll: those
// that can move do, and no client sees anything but that they stay.
func TestMoveEveryKind(t *testing.T) {
	g := newGatekeeper()
	f := newFamily(t, func(name string) *http.Server {
		s := answers(name)
		var mux http.ServeMux
		mux.Handle("/", s.Handler)
		mux.Handle("/slow", g)
		s.Handler = &mux
		return s
	})
	defer f.end()
	silent, quiet, busy, partial := dial(t, f.current.addr), dial(t, f.current.addr), dial(t, f.current.addr), dial(t, f.current.addr)
	quiet.roundTrip("/one")
	busy.get("/slow")
	<-g.entered
	partial.send("GET /partial HTTP/1.1\r\nHo")
	eventually(t, "all are there", func() bool { return phasesOf(f.current, header) == 1 && phasesOf(f.current, fresh) == 1 })

	old := f.roll()
	eventually(t, "what can move has", func() bool { return phasesOf(old, fresh)+phasesOf(old, idle) == 0 })
	for _, c := range []*client{silent, quiet} {
		c.get("/moved")
		if r, _ := c.response(); r.Header.Get("Worker") != "2" || r.Close {
			t.Errorf("served by %s, close %v; want the successor", r.Header.Get("Worker"), r.Close)
		}
	}
	partial.send("st: t\r\n\r\n")
	if r, _ := partial.response(); r.Header.Get("Worker") != "1" || r.Close {
		t.Errorf("served by %s, close %v; want the first, and kept alive", r.Header.Get("Worker"), r.Close)
	}
	close(g.leave)
	if r, _ := busy.response(); r.Close {
		t.Error("the response in progress asks its client to go")
	}
	if report := f.gone(old); report.Moved != 4 || len(report.Cut) > 0 {
		t.Errorf("report %+v, want 4 moved", report)
	}
	for _, c := range []*client{silent, quiet, busy, partial, dial(t, f.current.addr)} {
		c.roundTrip("/again")
	}
}

func phasesOf(s *supervisor, phase uint32) int {
	h := s.server.Handler.(*httpServer)
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for c := range h.conns {
		if c.phase.Load() == phase {
			n++
		}
	}
	return n
}

// TestMovedTimeouts keeps the times that a connection had: its rest of the idle
// timeout, and the whole time for its next request.
func TestMovedTimeouts(t *testing.T) {
	f := newFamily(t, func(name string) *http.Server {
		s := answers(name)
		s.IdleTimeout, s.ReadTimeout, s.ReadHeaderTimeout = time.Second, 300*time.Millisecond, 300*time.Millisecond
		return s
	})
	defer f.end()
	quiet, late := dial(t, f.current.addr), dial(t, f.current.addr)
	quiet.roundTrip("/")
	late.roundTrip("/")
	idleSince := time.Now()
	f.gone(f.roll())
	<-time.After(500 * time.Millisecond) // longer than the timeouts of a request
	for _, piece := range []string{"POST /late HTTP/1.1\r\nHo", "st: t\r\nContent-Length: 2\r\n\r\n", "ok"} {
		<-time.After(50 * time.Millisecond)
		late.send(piece)
	}
	if r, body := late.response(); r.StatusCode != http.StatusOK || !strings.Contains(body, "POST /late ok") {
		t.Errorf("%s %q", r.Status, body)
	}
	quiet.closed()
	if age := time.Since(idleSince); age < 900*time.Millisecond || age > 5*time.Second {
		t.Errorf("closed after %v, want the idle timeout of 1s", age)
	}
	// The next one has the time of any other.
	late.send("GET /slow HTTP/1.1\r\n")
	late.closed()
}

// TestMovedConnection has the hooks of net/http, the client's address and
// sendfile on a connection that came from a sibling.
func TestMovedConnection(t *testing.T) {
	type key struct{}
	file := filepath.Join(t.TempDir(), "file")
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	states := map[string][]http.ConnState{}
	f := newFamily(t, func(name string) *http.Server {
		return &http.Server{
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, key{}, name+" "+c.RemoteAddr().String())
			},
			ConnState: func(_ net.Conn, s http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				states[name] = append(states[name], s)
			},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Seen", r.Context().Value(key{}).(string))
				http.ServeFile(w, r, file)
			}),
		}
	})
	defer f.end()
	c := dial(t, f.current.addr)
	for life := 1; life <= 2; life++ {
		c.get("/")
		r, body := c.response()
		if want := fmt.Sprint(life, " ", c.LocalAddr()); r.Header.Get("Seen") != want || body != string(content) {
			t.Errorf("seen %q, want %q; %d bytes", r.Header.Get("Seen"), want, len(body))
		}
		if life == 1 {
			f.gone(f.roll())
		}
	}
	c.Close()
	eventually(t, "the last state", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprint(states["2"]) == "[new active idle closed]"
	})
	if got := fmt.Sprint(states["1"]); got != "[new active idle closed]" {
		t.Errorf("where it came from: %s", got)
	}
}

// TestMoveTLS moves a connection on which nothing of TLS has come yet, without
// a word in the log; one that is in use is asked to go by its next response.
func TestMoveTLS(t *testing.T) {
	var logs logBuffer
	certificates := tlsServer(t, nil).HTTP.TLSConfig.Certificates
	f := newFamily(t, func(name string) *http.Server {
		s := answers(name)
		s.TLSConfig = &tls.Config{Certificates: certificates}
		s.ErrorLog = log.New(&logs, "", 0)
		return s
	})
	defer f.end()
	secure := func(nc net.Conn) *client {
		return newClient(t, tls.Client(nc, &tls.Config{InsecureSkipVerify: true}))
	}
	early, used := dial(t, f.current.addr), secure(dial(t, f.current.addr).Conn)
	used.roundTrip("/")
	eventually(t, "both are there", func() bool { return phasesOf(f.current, fresh) == 1 && phasesOf(f.current, idle) == 1 })
	old := f.roll()
	eventually(t, "one has moved", func() bool { return phasesOf(old, fresh) == 0 })
	used.get("/")
	if r, _ := used.response(); !r.Close || r.Header.Get("Worker") != "1" {
		t.Errorf("served by %s, close %v; want the first, and asked to go", r.Header.Get("Worker"), r.Close)
	}
	late := secure(early.Conn)
	late.get("/")
	if r, _ := late.response(); r.Header.Get("Worker") != "2" || r.Close {
		t.Errorf("served by %s, close %v; want the second", r.Header.Get("Worker"), r.Close)
	}
	if report := f.gone(old); report.Moved != 1 {
		t.Errorf("report %+v, want 1 moved", report)
	}
	if strings.Contains(logs.String(), "moved") {
		t.Errorf("log: %s", &logs)
	}
}

// TestNobodyToMoveTo rolls without a sibling: the worker serves on while one may
// come, then asks its clients to go, and loses nobody.
func TestNobodyToMoveTo(t *testing.T) {
	f := newFamily(t, answers)
	defer f.end()
	kept, asked := dial(t, f.current.addr), dial(t, f.current.addr)
	kept.roundTrip("/")
	asked.roundTrip("/")
	old := f.current
	begun := time.Now()
	old.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour, Move: true})
	closing := false
	for tick := time.NewTicker(50 * time.Millisecond); !closing; <-tick.C {
		asked.get("/")
		r, _ := asked.response()
		closing = r.Close
	}
	if waited := time.Since(begun); waited < movePatience {
		t.Errorf("asked to go after %v, want %v", waited, movePatience)
	}
	kept.closed()
	f.current = f.start()
	f.gone(old)
}

// TestMoveWaitsForASibling has a connection offered as soon as there is somebody,
// and not when its turn would come.
func TestMoveWaitsForASibling(t *testing.T) {
	f := newFamily(t, answers)
	defer f.end()
	dial(t, f.current.addr).roundTrip("/")
	old := f.current
	old.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour, Move: true})
	eventually(t, "it waits", func() bool {
		h := old.server.Handler.(*httpServer)
		h.mu.Lock()
		defer h.mu.Unlock()
		for c := range h.conns {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.moveAt.IsZero() || c.offering {
				return false
			}
			c.moveAt = time.Now().Add(time.Hour)
			c.arm()
		}
		return true
	})
	f.current = f.start()
	f.introduce(old, f.current)
	if report := f.gone(old); report.Moved != 1 {
		t.Errorf("report %+v, want 1 moved", report)
	}
}

// TestSiblingRefuses has the only sibling end before the connections come: they
// stay where they are, until there is another.
func TestSiblingRefuses(t *testing.T) {
	f := newFamily(t, answers)
	defer f.end()
	c := dial(t, f.current.addr)
	c.roundTrip("/")
	ending := f.start()
	ending.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour, Hold: true})
	if m := ending.next(); m.Closed == nil {
		t.Fatalf("%+v, want Closed", m)
	}
	old := f.current
	old.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour, Move: true})
	f.introduce(old, ending)
	for range 20 {
		c.roundTrip("/")
	}
	ending.send(wire.Message{Quit: &wire.Quit{}})
	f.gone(ending)
	f.current = f.start()
	f.introduce(old, f.current)
	f.gone(old)
	c.get("/")
	if r, _ := c.response(); r.Header.Get("Worker") != fmt.Sprint(f.life) {
		t.Errorf("served by %s, want %d", r.Header.Get("Worker"), f.life)
	}
}

var hammerFor = flag.Duration("hammer", 2*time.Second, "how long TestMoveHammer goes on")

// TestMoveHammer rolls as fast as it can under clients that cut what they send
// at random, and never send anything twice.
func TestMoveHammer(t *testing.T) {
	var accepted atomic.Int64
	f := newFamily(t, func(name string) *http.Server { return counted(answers(name), &accepted) })
	defer f.end()
	const clients = 16
	var posts atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { hammer(t, f.socket.Addr().String(), i, done, &posts) })
	}
	moved, rolls := 0, 0
	for end := time.Now().Add(*hammerFor); time.Now().Before(end); rolls++ {
		moved += f.gone(f.roll()).Moved
	}
	close(done)
	wg.Wait()
	t.Logf("%d rolls, %d moves, %d requests on %d connections", rolls, moved, posts.Load(), clients)
	if rolls == 0 || moved == 0 {
		t.Error("nothing has moved")
	}
	if got, want := accepted.Load(), int64(clients+moved); got != want {
		t.Errorf("net/http was given %d connections, want %d from clients and %d that moved", got, clients, moved)
	}
}

// hammer sends one to three requests at a time, in pieces.
func hammer(t *testing.T, addr string, seed int, done <-chan struct{}, posts *atomic.Int64) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	r := bufio.NewReader(nc)
	for !isClosed(done) {
		if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Error(err)
			return
		}
		var out string
		n := 1 + random.IntN(3)
		for i := range n {
			body := strings.Repeat("x", random.IntN(100))
			out += fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
		}
		for len(out) > 0 {
			piece := 1 + random.IntN(len(out))
			if random.IntN(3) == 0 {
				piece = strings.IndexByte(out, '\n') + 1 // where net/http is easily fooled
			}
			if piece == 0 || random.IntN(4) == 0 {
				piece = len(out)
			}
			if _, err := io.WriteString(nc, out[:piece]); err != nil {
				t.Error(err)
				return
			}
			out = out[piece:]
			if random.IntN(2) == 0 {
				<-time.After(time.Duration(random.IntN(300)) * time.Microsecond)
			}
		}
		for i := range n {
			response, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Errorf("response %d of %d: %v", i, n, err)
				return
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), fmt.Sprintf("POST /%d ", i)) {
				t.Errorf("response %d of %d: %s %q %v", i, n, response.Status, body, err)
				return
			}
			posts.Add(1)
		}
	}
}
