package lastcall

import (
	"testing"
	"time"
)

// TestGRPCHalfSpoken does not have a client that has begun to say something, and
// goes no further, hold the drain: the server waits for its handshake before it
// tells anybody to go, so that all are cut for one.
func TestGRPCHalfSpoken(t *testing.T) {
	srv := newLineServer()
	s := srv.start(t, &Worker{FreshGrace: 50 * time.Millisecond, StallTimeout: 100 * time.Millisecond, DrainTimeout: 3 * time.Second})
	works, half := dial(t, s.addr), dial(t, s.addr)
	works.send("call\n")
	<-srv.entered
	half.send("ca")
	s.Drain()
	s.waitDraining()
	if text := works.line(); text != "go" {
		t.Errorf("the client reads %q", text)
	}
	close(srv.leave)
	if text := works.line(); text != "done" {
		t.Errorf("the client reads %q", text)
	}
	s.drained()
}

// TestGRPCLameDuckQuiet has calls keep a lame duck from ending early.
func TestGRPCLameDuckQuiet(t *testing.T) {
	const quiet = 100 * time.Millisecond
	srv := newLineServer()
	close(srv.leave)
	s := srv.start(t, &Worker{LameDuck: time.Hour, LameDuckQuiet: quiet})
	c := dial(t, s.addr)
	s.Drain()
	eventually(t, "the lame duck", func() bool { return !s.ready.Load() })
	for begun := time.Now(); time.Since(begun) < 6*quiet; {
		c.send("call\n")
		if text := c.line(); text != "done" {
			t.Fatalf("%q after %v, while calls come", text, time.Since(begun))
		}
	}
	s.Cut()
	_ = s.wait() // cut or not
}
