package handoff

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestSenderIsStopped has a sender stand still after each step, and go on, with a
// receiver that waits meanwhile, takes nothing any more, or ends: exactly one of
// the two has the connection, and the sender knows which. Nothing but its death
// makes a connection that it has not committed another's.
func TestSenderIsStopped(t *testing.T) {
	for _, step := range []string{"offer", "ack", "abort", "commit"} {
		for _, meanwhile := range []string{"the receiver waits", "it refuses", "it ends"} {
			t.Run(step+", "+meanwhile, func(t *testing.T) {
				noneLeft(t)
				r, a := newReceiver(t)
				theirs, ours, err := Pair()
				must(t, err)
				client, server := connect(t)
				_, err = io.WriteString(client, "before")
				must(t, err)
				p := start(t, "sender", step+" and on", theirs, descriptor(t, server))
				must(t, r.Add("s", ours))
				p.expect(step)
				p.stop()
				must(t, p.in.Close()) // it may go on as soon as it can

				var taken net.Conn
				if step == "commit" {
					taken = a.next(t)
				}
				switch meanwhile {
				case "it refuses":
					r.Refuse()
				case "it ends":
					must(t, r.Close())
				}
				select { // a sender that is silent has not given up
				case <-a.conns:
					t.Error("the connection was adopted")
				case <-time.After(50 * time.Millisecond):
				}
				p.signal(syscall.SIGCONT)
				moves := step == "commit" || step != "abort" && meanwhile == "the receiver waits"
				if !moves {
					p.expect("refused")
					a.nothing(t)
					taken = server
				} else {
					p.expect("done")
				}
				if taken == nil {
					taken = a.next(t)
				}
				must(t, taken.SetDeadline(time.Now().Add(limit)))
				b := make([]byte, 6)
				if _, err := io.ReadFull(taken, b); err != nil || string(b) != "before" {
					t.Fatalf("read %q, %v", b, err)
				}
				talks(t, client, taken)
			})
		}
	}
}
