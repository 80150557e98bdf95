package supervisor

import (
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
)

// What a worker has left behind is asked to end, for 5 s, and then killed; one
// that even that does not end, as another user's, is reported and left.
func TestStrayThatCannotBeEnded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := &fakeSystem{}
		obeys, deaf, stuck := f.stray(101), f.stray(102), f.stray(103)
		obeys.told = func(_ string, s syscall.Signal) {
			if s == syscall.SIGTERM {
				obeys.end(proc.Exit{Signal: s})
			}
		}
		deaf.told = func(_ string, s syscall.Signal) {
			if s == syscall.SIGKILL {
				deaf.end(proc.Exit{Signal: s})
			}
		}
		b := runFakeWith(t, f, Config{Name: "test", Programs: []Program{program("web", 1, "sleep")}}, Options{Upgrade: []string{"check"}})
		b.comesUp(0)
		b.signal(syscall.SIGTERM)
		b.isAsked(0)
		b.after(time.Second)
		wantSignals(t, obeys) // while the worker lives they may be its own
		b.ends(0, proc.Exit{})
		b.after(time.Minute)
		b.returned(exitDone)
		wantSignals(t, obeys, "1s leader 15")
		wantSignals(t, deaf, "1s leader 15", "6s leader 9")
		wantSignals(t, stuck, "1s leader 15", "6s leader 9")
		b.at(7*time.Second, `msg="it cannot be ended" pid=103`)
	})
}
