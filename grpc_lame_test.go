package lastcall

import (
	"testing"
	"time"
)

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
