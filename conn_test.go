package lastcall

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestLastLook has a connection told to close with a request already in its
// socket: the runtime sees the deadline first, and the request must be found.
func TestLastLook(t *testing.T) {
	for _, phase := range []uint32{fresh, idle, header} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		peer := dial(t, l.Addr().String())
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		s := &httpServer{ledger: newLedger(), conns: map[*conn]struct{}{}}
		c := &conn{Conn: accepted, server: s}
		c.phase.Store(phase)
		buf := make([]byte, readBuffer)

		peer.send("GET ")
		eventually(t, "the bytes have come", func() bool { return unread(accepted) })
		c.leave(&leaving{fresh: 50 * time.Millisecond, stall: patience}, time.Now().Add(-time.Hour))
		if n, err := c.Read(buf); string(buf[:n]) != "GET " || err != nil {
			t.Errorf("phase %d: read %q, %v", phase, buf[:n], err)
		}
		if n, err := c.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("phase %d: read %q, %v; want a timeout", phase, buf[:n], err)
		}
	}
}
