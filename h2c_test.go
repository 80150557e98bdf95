package lastcall

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// TestHTTP2InPiecesIsToldToGo has GOAWAY come to a client of h2c whose preface
// has come in pieces: it would find its connection closed under a request.
func TestHTTP2InPiecesIsToldToGo(t *testing.T) {
	s := serve(t, &Worker{FreshGrace: 100 * time.Millisecond}, Server{Addr: "127.0.0.1:0", HTTP: withH2C(&http.Server{Handler: http.HandlerFunc(ok)})})
	c := dial(t, s.addr)
	c.send("PRI")
	eventually(t, "it has been read", func() bool { return s.phases(header) == 1 })
	c.send(" * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	const settings, goAway = 4, 7 // types of frames
	c.frame(settings, true)
	s.Drain()
	c.frame(goAway, false)
	s.drained()
}

// frame reads up to a frame of a type, and that acknowledges or does not.
func (c *client) frame(want byte, ack bool) {
	c.t.Helper()
	for {
		var head [9]byte
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			c.t.Fatalf("no frame of type %d: %v", want, err)
		}
		if _, err := c.r.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
			c.t.Fatal(err)
		}
		if head[3] == want && ack == (head[4] == 1) {
			return
		}
	}
}
