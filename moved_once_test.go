package lastcall

import (
	"net/http"
	"sync/atomic"
	"testing"
)

// TestMovedOnce has net/http that reads once more after a connection has moved,
// as it does where it also looks for the beginning of HTTP/2, get nothing of it:
// neither a byte, nor the connection, to hand it to a second sibling.
func TestMovedOnce(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		var accepted atomic.Int64
		f := newFamily(t, func(name string) *http.Server {
			s := counted(answers(name), &accepted)
			if h2c {
				return withH2C(s)
			}
			return s
		})
		idles, silent := dial(t, f.current.addr), dial(t, f.current.addr)
		idles.roundTrip("/")
		eventually(t, "both are accepted", func() bool { return accepted.Load() == 2 })
		for round := range 3 {
			if report := f.gone(f.roll()); report.Moved != 2 {
				t.Errorf("h2c %v, roll %d: %d moved, want 2", h2c, round+1, report.Moved)
			}
		}
		for _, c := range []*client{idles, silent} {
			c.roundTrip("/")
		}
		if n := accepted.Load(); n != 8 {
			t.Errorf("h2c %v: net/http has seen %d connections, want 8", h2c, n)
		}
		f.end()
	}
}
