package lastcall

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/lastcall/lastcall/internal/handoff"
	"github.com/lastcall/lastcall/internal/wire"
)

// TestNo400AfterAMove has net/http, in which a connection ends that was never
// heard of, say nothing to it: it would take the end of a Read for a bad request,
// and the client the answer for a sibling's. Nor may a sibling find the second
// half of a request, and say 400 to that. What is in progress is cut where net/http is
// easily fooled.
func TestNo400AfterAMove(t *testing.T) {
	const first, half, rest = "GET /1 HTTP/1.1\r\nHost: t\r\n\r\n", "GET /2 HTTP/1.1\r\n", "Host: t\r\n\r\n"
	for _, h2c := range []bool{false, true} {
		for _, begun := range []string{"", first, half, first + half} {
			var accepted atomic.Int64
			f := newFamily(t, func(name string) *http.Server {
				s := counted(answers(name), &accepted)
				if h2c {
					return withH2C(s)
				}
				return s
			})
			c := dial(t, f.current.addr)
			ok := func(worker string) {
				t.Helper()
				if r, body := c.response(); r.StatusCode != http.StatusOK || r.Header.Get("Worker") != worker {
					t.Fatalf("h2c %v, %q: %s by %q, want worker %s: %s", h2c, begun, r.Status, r.Header.Get("Worker"), worker, body)
				}
			}
			c.send(begun)
			if strings.HasPrefix(begun, first) {
				ok("1")
			}
			phase := map[string]uint32{"": fresh, first: idle}[begun]
			if strings.HasSuffix(begun, half) {
				phase = header
			}
			eventually(t, "it is there", func() bool { return accepted.Load() == 1 && phasesOf(f.current, phase) == 1 })
			old := f.roll()
			if phase == header {
				c.send(rest)
				ok("1") // who has read the first half
			}
			f.gone(old)
			f.gone(f.roll()) // and once more where net/http has heard nothing of it
			c.send(half)
			c.send(rest)
			ok("3")
			f.end()
			c.closed()
		}
	}
}

// copiedConn returns a conn on a socket of which the test has a copy, as a sibling
// would, and its client. It was offered before.
func copiedConn(t *testing.T) (c *conn, sibling net.Conn, peer *client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer = dial(t, l.Addr().String())
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	file, err := accepted.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if sibling, err = net.FileConn(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close(); sibling.Close() })
	return &conn{Conn: accepted, server: &httpServer{ledger: newLedger(), conns: map[*conn]struct{}{}}, offered: true}, sibling, peer
}

// TestMovedIsNotShutDown has neither CloseWrite nor Close end a connection for
// the sibling that has it, or may have it in a moment; and both end one that is
// our own, though there is a copy of it.
func TestMovedIsNotShutDown(t *testing.T) {
	for what, c := range map[string]struct {
		set func(*conn)
		own bool
	}{
		"moved":         {func(c *conn) { c.away = true }, false},
		"being offered": {func(c *conn) { c.offering = true }, false},
		"refused":       {func(*conn) {}, true},
	} {
		for _, end := range []string{"CloseWrite", "Close"} {
			conn, sibling, peer := copiedConn(t)
			c.set(conn)
			var err error
			if end == "Close" {
				err = conn.Close()
			} else if err = conn.CloseWrite(); !c.own && errors.Is(err, net.ErrClosed) {
				err = nil
			} else if !c.own {
				t.Errorf("%s: CloseWrite: %v, want closed", what, err)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", what, end, err)
			}
			if c.own {
				peer.closed()
				continue
			}
			if _, err := io.WriteString(sibling, "x"); err != nil {
				t.Errorf("%s: after %s the sibling cannot write: %v", what, end, err)
			}
			if b, err := peer.r.ReadByte(); b != 'x' || err != nil {
				t.Errorf("%s: after %s the client reads %q, %v", what, end, b, err)
			}
		}
	}
}

// TestNoWarningAtTheEnd has the supervisor introduce a sibling to a worker that
// has nothing to move any more, and a timer find the channel closed: nobody is
// told, for nothing is wrong. A supervisor that does not hear is another thing.
func TestNoWarningAtTheEnd(t *testing.T) {
	parent, fd, err := wire.Pair()
	if err != nil {
		t.Skip(err)
	}
	child, err := wire.OpenChannel(fd)
	if err != nil {
		t.Fatal(err)
	}
	logs := &logBuffer{}
	log := slog.New(slog.NewTextHandler(logs, nil))
	l := &link{channel: child, log: log}
	m := newMover(l, log)
	m.close()
	for _, offer := range []bool{false, true} {
		ours, theirs, err := handoff.Pair()
		if err != nil {
			t.Fatal(err)
		}
		m.introduced(&wire.Peer{Worker: "web.0", Life: 1, Offer: offer, FD: ours})
		if n, err := syscall.Read(theirs, make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("offer %v: read %d, %v; want the end of the pair", offer, n, err)
		}
		_ = syscall.Close(theirs)
	}
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	l.send(wire.Message{Lost: &wire.Lost{Worker: "web.0", Life: 2}}) // as the timer does
	if logs.String() != "" {
		t.Errorf("log: %s", logs)
	}

	deaf, fd, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	hears, err := wire.OpenChannel(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer hears.Close()
	_ = deaf.Close()
	_ = parent.Close()
	(&link{channel: hears, log: log}).send(wire.Message{Ready: &wire.Ready{}})
	if !strings.Contains(logs.String(), "cannot tell the supervisor") {
		t.Error("nothing is said of a supervisor that does not hear")
	}
}
