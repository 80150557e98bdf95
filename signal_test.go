package lastcall

import (
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// TestSignalWaitsForTheOrder: a worker that is signalled like everybody goes on
// until its supervisor, which knows how, tells it to drain; one that is
// signalled alone drains by itself.
func TestSignalWaitsForTheOrder(t *testing.T) {
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGHUP, syscall.SIGTERM)
	defer signal.Stop(came)
	for _, ordered := range []bool{true, false} {
		s := supervise(t, &Worker{}, web(http.HandlerFunc(ok)))
		c := dial(t, s.addr)
		c.roundTrip("/")
		for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
			if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
				t.Fatal(err)
			}
			within(t, "the signal has come", came)
		}
		begin := time.Now()
		c.roundTrip("/") // and is kept
		if ordered {
			s.drainWith(wire.Drain{Reason: wire.ReasonRoll, Timeout: time.Hour})
		}
		s.wantClosed()
		if alone := time.Since(begin) >= orderTimeout; alone == ordered {
			t.Errorf("ordered %v: it drained after %v", ordered, time.Since(begin))
		}
		c.closed()
		s.drained()
	}
}
