package lastcall

import (
	"testing"
	"time"
)

// TestGRPCLameDuckQuiet has calls, on a connection that was there before, keep a
// lame duck from ending early; without them it ends by itself.
func TestGRPCLameDuckQuiet(t *testing.T) {
	const quiet = 200 * time.Millisecond
	srv := newLineServer()
	close(srv.leave)
	s := srv.start(t, &Worker{LameDuck: time.Hour, LameDuckQuiet: quiet})
	c := dial(t, s.addr)
	c.send("call\n")
	<-srv.entered
	if text := c.line(); text != "done" {
		t.Fatalf("the client reads %q", text)
	}
	s.Drain()
	eventually(t, "the lame duck", func() bool { return !s.ready.Load() })
	for begun := time.Now(); time.Since(begun) < 4*quiet; {
		c.send("call\n")
		if text := c.line(); text != "done" {
			t.Fatalf("%q after %v, while calls come", text, time.Since(begun))
		}
		<-srv.entered
	}
	if text := c.line(); text != "go" {
		t.Errorf("the client reads %q", text)
	}
	s.drained()
}
