package lastcall

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

const h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// goAway reads frames until GOAWAY has come, or the connection ends.
func goAway(c *client) bool {
	c.t.Helper()
	var head [9]byte
	for {
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			return false
		}
		if head[3] == 7 {
			return true
		}
		if _, err := c.r.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
			return false
		}
	}
}

// TestHTTP2BesideHTTP1 tells an idle client of HTTP/2 to go while a request of
// HTTP/1 is still in progress.
func TestHTTP2BesideHTTP1(t *testing.T) {
	g := newGatekeeper()
	s := serve(t, &Worker{}, tlsServer(t, g))
	old, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	h1 := newClient(t, old)
	h1.get("/")
	<-g.entered
	h2, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	idler := newClient(t, h2)
	idler.send(h2Preface)
	eventually(t, "idle", func() bool { return s.phases(idle) == 1 })
	s.Drain()
	if !goAway(idler) {
		t.Error("the client of HTTP/2 is not told to go")
	}
	if len(s.end) > 0 {
		t.Error("the request of HTTP/1 is not waited for")
	}
	close(g.leave)
	if _, body := h1.response(); body != "done" {
		t.Errorf("%q", body)
	}
	s.drained()
}

// TestHTTP2AfterTheLastCall tells a client to go whose handshake ends when the
// drain has begun, and that sends no request.
func TestHTTP2AfterTheLastCall(t *testing.T) {
	srv := tlsServer(t, http.HandlerFunc(ok))
	srv.Name = "web"
	s := supervise(t, &Worker{FreshGrace: time.Second}, srv)
	c := dial(t, s.addr)
	s.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour})
	s.wantClosed()
	h2 := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	idler := newClient(t, h2)
	idler.send(h2Preface)
	if !goAway(idler) {
		t.Error("not told to go")
	}
	s.drained()
}
