package lastcall

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/handoff"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
)

// A family is the workers of a program, one after the other, on one socket, in
// this process.
type family struct {
	t       *testing.T
	socket  net.Listener // the supervisor's copy
	server  func(name string) *http.Server
	life    int
	current *supervisor

	socketName string // "": web
}

// newFamily starts the first worker. What one serves is asked for each life. The
// caller ends it.
func newFamily(t *testing.T, server func(name string) *http.Server) *family {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &family{t: t, socket: l, server: server}
	f.current = f.start()
	return f
}

// end stops the last of them.
func (f *family) end() { f.stop(f.current) }

// start starts one more worker on the socket.
func (f *family) start() *supervisor {
	f.t.Helper()
	raw, err := f.socket.(syscall.Conn).SyscallConn()
	if err != nil {
		f.t.Fatal(err)
	}
	fd := -1
	if cerr := raw.Control(func(s uintptr) { fd, err = syscall.Dup(int(s)) }); cerr != nil || err != nil {
		f.t.Fatal(cerr, err)
	}
	l, err := sock.Inherit(fd)
	if err != nil {
		f.t.Fatal(err)
	}
	f.life++
	name := cmp.Or(f.socketName, "web")
	return superviseOn(f.t, &Worker{}, []*inherited{{Listener: l, name: name}}, Server{Name: name, HTTP: f.server(fmt.Sprint(f.life))})
}

// introduce joins two workers, as a supervisor does.
func (f *family) introduce(from, to *supervisor) {
	f.t.Helper()
	sender, receiver, err := handoff.Pair()
	if err != nil {
		f.t.Fatal(err)
	}
	defer syscall.Close(sender)
	defer syscall.Close(receiver)
	to.send(wire.Message{Peer: &wire.Peer{Worker: "web.0", Life: 1, FD: receiver}})
	from.send(wire.Message{Peer: &wire.Peer{Worker: "web.0", Life: 2, Offer: true, FD: sender}})
}

// roll starts a successor and has the current worker drain for it. It returns
// the one that drains.
func (f *family) roll() *supervisor {
	f.t.Helper()
	old := f.current
	f.current = f.start()
	old.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour, Move: true})
	f.introduce(old, f.current)
	return old
}

// gone waits for the end of a worker that drains, and returns its report.
func (f *family) gone(w *supervisor) *wire.Drained {
	f.t.Helper()
	var report *wire.Drained
	for m := range w.messages {
		if m.Drained != nil {
			report = m.Drained
			break
		}
	}
	w.drained()
	return report
}

func (f *family) stop(w *supervisor) {
	w.drainWith(wire.Drain{Reason: wire.ReasonStop, Timeout: time.Hour})
	f.gone(w)
}

// answers is a server that says who it is, what it was asked, and by whom.
func answers(name string) *http.Server {
	return &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Worker", name)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL.Path, body, r.RemoteAddr)
	})}
}

// counted counts the connections that net/http has been given.
func counted(s *http.Server, n *atomic.Int64) *http.Server {
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
	return s
}
