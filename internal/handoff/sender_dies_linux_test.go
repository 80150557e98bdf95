package handoff

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// playSender is a sender that goes as far as step, and says so. Its end of the
// pair is 3, the connection 4. With "and on" behind the step it goes on from there
// when it may, and says how that has ended.
func playSender(step string) {
	step, goesOn := strings.CutSuffix(step, " and on")
	l, err := openLink(3)
	if err != nil {
		panic(err)
	}
	reached := func(now string) {
		if now == step {
			say(now)
			pause()
			if !goesOn {
				os.Exit(0)
			}
		}
	}
	m := message{Op: opOffer, IDs: []uint64{1}, Ticket: &Ticket{Listener: "web"}, Marks: readMarks(4)}
	if _, err := l.offer(m, 4); err != nil {
		panic(err)
	}
	reached("offer")
	if m, _, err := answer(l); err != nil || m.Op != opAck {
		say("refused") // also by the end of the pair
		return
	}
	reached("ack")
	if strings.HasSuffix(step, "read") {
		if _, err := syscall.Read(4, make([]byte, 1)); err != nil {
			panic(err)
		}
		reached("read")
	}
	if strings.HasSuffix(step, "written") {
		if _, err := syscall.Write(4, []byte("x")); err != nil {
			panic(err)
		}
		reached("written")
	}
	if step == "abort" {
		l.send(opAbort, 1, "")
		reached("abort")
	} else {
		l.send(opCommit, 1, "")
		reached("commit")
	}
	switch m, _, err := answer(l); {
	case err != nil:
		say("lost")
	case m.Op == opDone:
		say("done")
	default:
		say("refused")
	}
}

func TestSenderIsKilled(t *testing.T) {
	for _, c := range []struct {
		step  string
		moved bool
	}{{"offer", true}, {"ack", true}, {"read", false}, {"written", false}, {"abort", false}, {"commit", true}} {
		for _, how := range []string{"killed", "killed before anything is read", "stopped, then killed"} {
			needsAnswer := c.step != "offer"
			if needsAnswer && strings.HasSuffix(how, "is read") {
				continue
			}
			t.Run(c.step+" "+how, func(t *testing.T) {
				noneLeft(t)
				r, a := newReceiver(t)
				theirs, ours, err := Pair()
				must(t, err)
				client, server := connect(t)
				_, err = io.WriteString(client, "before")
				must(t, err)
				p := start(t, "sender", c.step, theirs, descriptor(t, server))
				server.Close()
				if strings.HasSuffix(how, "is read") {
					p.expect(c.step)
					p.kill()
					must(t, r.Add("s", ours))
				} else {
					must(t, r.Add("s", ours))
					p.expect(c.step)
					if strings.HasPrefix(how, "stopped") {
						p.stop()
						if c.step != "commit" {
							a.nothing(t)
						}
					}
					p.kill()
				}
				if c.moved {
					conn := a.next(t)
					must(t, conn.SetDeadline(time.Now().Add(limit)))
					b := make([]byte, 6)
					if _, err := io.ReadFull(conn, b); err != nil || string(b) != "before" {
						t.Fatalf("read %q, %v", b, err)
					}
					talks(t, client, conn)
					return
				}
				if c.step == "written" {
					_, err := io.ReadFull(client, make([]byte, 1))
					must(t, err)
				}
				// Bytes that nobody has read make the kernel reset it.
				if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("read %d bytes, %v; want the end", n, err)
				}
				a.nothing(t)
			})
		}
	}
}

// What was offered on a unix connection by a sender that died is closed:
// nobody can tell whether it was touched.
func TestUnixConnectionOfTheDead(t *testing.T) {
	noneLeft(t)
	r, a := newReceiver(t)
	s := r.scripted(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	if readMarks(fds[0]) != nil {
		t.Error("marks of a unix connection")
	}
	_, err = s.link.offer(message{Op: opOffer, IDs: []uint64{1}, Ticket: &Ticket{}}, fds[0])
	must(t, err)
	syscall.Close(fds[0])
	s.expect(opAck)
	s.link.close()
	if n, err := syscall.Read(fds[1], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("read %d, %v; want the end", n, err)
	}
	syscall.Close(fds[1])
	a.nothing(t)
}
