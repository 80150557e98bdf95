package lastcall

import (
	"errors"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/sock"
)

// TestListenerStop ends listeners that have connections queued, which are
// accepted unless the socket goes on listening elsewhere.
func TestListenerStop(t *testing.T) {
	for _, test := range []struct {
		name   string
		shared bool
		kept   bool
		queued bool
		want   int
	}{
		{"alone", false, false, true, 3},
		{"under a supervisor", true, false, true, 3},
		{"on a roll", true, false, false, 0},
		{"of a service manager", true, true, true, 0},
	} {
		nl, err := sock.Open(sock.Address{Network: "tcp", Address: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			dial(t, nl.Addr().String())
		}
		l := &listener{Listener: nl, shared: test.shared, kept: test.kept, wake: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler)}
		l.stop(true, test.queued)
		if runtime.GOOS == "linux" { // newcomers: turned away if the socket is ours, else taken by others
			c, err := net.DialTimeout("tcp", nl.Addr().String(), 100*time.Millisecond)
			if (err == nil) != test.shared {
				t.Errorf("%s: dial: %v", test.name, err)
			}
			if err == nil {
				c.Close()
				test.want += min(test.want, 1)
			}
		}
		got := 0
		for {
			c, err := l.Accept()
			if errors.Is(err, errListenerDone) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			c.Close()
			got++
		}
		if got != test.want || !l.isDone() {
			t.Errorf("%s: accepted %d, want %d; done %v", test.name, got, test.want, l.isDone())
		}
		if c, err := net.Dial("tcp", nl.Addr().String()); err == nil {
			c.Close()
			t.Errorf("%s: still listening", test.name)
		}
	}
}
