package lastcall

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
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

// TestBytesMoved sees what the peer does, and nothing else.
func TestBytesMoved(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("cannot be told")
	}
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/s"} {
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		peer, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		peer.SetDeadline(time.Now().Add(patience))
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fill := func() { // until the peer's window, or our buffer, is full
			c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			for {
				if _, err := c.Write(make([]byte, megabytes)); err != nil {
					return
				}
			}
		}
		fill()
		at := bytesMoved(c)
		if fill(); bytesMoved(c) != at {
			t.Errorf("%s: it moves without the peer", network)
		}
		if _, err := io.ReadFull(peer, make([]byte, 128<<10)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what the peer has taken", func() bool { return bytesMoved(c) != at })
		if network == "unix" {
			continue // where what the peer sends is in no count
		}
		at = bytesMoved(c)
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what the peer has sent", func() bool { return bytesMoved(c) != at })
	}
}
