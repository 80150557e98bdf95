package lastcall

import (
	"net/http"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// TestLameDuckQuiet ends the lame duck when clients have gone elsewhere, though
// their balancer still asks whether it is ready; not while they come.
func TestLameDuckQuiet(t *testing.T) {
	const quiet = 200 * time.Millisecond
	w := &Worker{LameDuck: time.Hour, LameDuckQuiet: quiet}
	var mux http.ServeMux
	mux.Handle("/ready", w.ReadyHandler())
	mux.HandleFunc("/", ok)
	s := serve(t, w, Server{Addr: "127.0.0.1:0", HTTP: &http.Server{Handler: &mux}})
	s.Drain()
	eventually(t, "the lame duck", func() bool { return !w.ready.Load() })
	get := func(path string) int {
		c := dial(t, s.addr)
		c.get(path)
		r, _ := c.response()
		return r.StatusCode
	}
	for begun := time.Now(); time.Since(begun) < 3*quiet; {
		if code := get("/"); code != http.StatusOK {
			t.Fatalf("status %d while clients come", code)
		}
	}
	over := make(chan struct{})
	go func() { defer close(over); s.drained() }()
	for last := time.Now(); !isClosed(over); {
		if time.Since(last) > patience {
			t.Fatal("not over though only the balancer asks")
		}
		select {
		case <-over:
		case <-time.After(quiet / 10):
			if !s.notReadyOrGone() {
				t.Error("ready")
			}
		}
	}
}

// notReadyOrGone asks as a balancer does; the listener may close meanwhile.
func (s *serving) notReadyOrGone() bool {
	c, err := http.Get("http://" + s.addr + "/ready")
	if err != nil {
		return true
	}
	c.Body.Close()
	return c.StatusCode == http.StatusServiceUnavailable
}

// TestLameDuckAsked makes a lame duck of a supervised worker: it serves on, asks
// to go, says when it is quiet, and drains when it is told.
func TestLameDuckAsked(t *testing.T) {
	s := supervise(t, &Worker{}, web(http.HandlerFunc(ok)))
	c, later := dial(t, s.addr), dial(t, s.addr)
	c.roundTrip("/")
	s.send(wire.Message{Lame: &wire.Lame{Quiet: 50 * time.Millisecond}})
	eventually(t, "not ready", func() bool { return !s.ready.Load() })
	for _, c := range []*client{c, later, dial(t, s.addr)} {
		c.get("/")
		if r, _ := c.response(); r.StatusCode != http.StatusOK || !r.Close {
			t.Errorf("%s, close %v; want 200 and asked to go", r.Status, r.Close)
		}
	}
	if m := s.next(); m.Quiet == nil {
		t.Errorf("%+v, want Quiet", m)
	}
	s.drainWith(wire.Drain{Reason: wire.ReasonStop, Timeout: time.Hour})
	s.wantClosed()
	if m := s.next(); m.Drained == nil {
		t.Errorf("%+v, want Drained", m)
	}
	s.drained()
}
