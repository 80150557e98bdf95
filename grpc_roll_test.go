package lastcall

import (
	"strings"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// TestGRPCStopInARoll reports one operation of a server, whatever it was told.
func TestGRPCStopInARoll(t *testing.T) {
	srv := newLineServer()
	s := supervise(t, &Worker{}, Server{Name: "web", GRPC: srv})
	c := dial(t, s.addr)
	c.send("call\n")
	<-srv.entered
	s.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour})
	s.wantClosed()
	if text := c.line(); text != "go" {
		t.Errorf("the client reads %q", text)
	}
	s.drainWith(wire.Drain{Reason: wire.ReasonStop, Timeout: time.Hour})
	eventually(t, "it drains for a stop", func() bool { return strings.Contains(s.logs.String(), "draining for a stop now") })
	s.send(wire.Message{List: &wire.List{Max: 10}})
	if in := s.next().Inflight; in == nil || in.Critical != 1 {
		t.Errorf("inflight %+v, want one operation", in)
	}
	close(srv.leave)
	if m := s.next(); m.Drained == nil {
		t.Errorf("%+v, want Drained", m)
	}
	s.drained()
}
