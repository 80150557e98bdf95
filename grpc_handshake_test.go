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
