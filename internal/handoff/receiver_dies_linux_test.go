package handoff

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// playReceiver is a receiver that goes as far as step, and says so.
func playReceiver(step string) {
	l, err := openLink(3)
	if err != nil {
		panic(err)
	}
	next := func() message {
		m, _, err := l.receive(true) // a descriptor is kept open
		if err != nil {
			panic(err)
		}
		return m
	}
	reached := func(now string) {
		if now == step {
			say(now)
			pause()
			os.Exit(0)
		}
	}
	say("started")
	if step == "unread" {
		pause()
		return
	}
	m, fds, err := l.receive(true)
	if err != nil || len(fds) != 1 {
		panic(fmt.Sprint(len(fds), err))
	}
	reached("offer")
	l.send(opAck, m.IDs[0], "")
	reached("ack")
	next()
	reached("commit")
	if step == "read" || step == "written" {
		if step == "read" {
			_, err = syscall.Read(fds[0], make([]byte, 1))
		} else {
			_, err = syscall.Write(fds[0], []byte("x"))
		}
		if err != nil {
			panic(err)
		}
		reached(step)
	}
	l.send(opDone, m.IDs[0], "")
	reached("done")
}

func TestReceiverIsKilled(t *testing.T) {
	for _, c := range []struct {
		step string
		want error
	}{
		{"unread", ErrRefused}, {"offer", ErrRefused}, {"ack", ErrRefused}, {"commit", ErrRefused},
		{"read", ErrLost}, {"written", ErrLost}, {"done", nil},
	} {
		for _, stopped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stopped %v", c.step, stopped), func(t *testing.T) {
				noneLeft(t)
				s, end, lost := newSender(t)
				p := start(t, "receiver", c.step, end)
				p.expect("started")
				client, server := connect(t)
				_, err := io.WriteString(client, "already here")
				must(t, err)
				result := send(s, server)
				if c.step == "unread" {
					until(t, "offered", func() bool { return outstanding(s) == 1 })
				} else {
					p.expect(c.step)
				}
				if stopped {
					p.stop()
				}
				p.kill()
				err = wait(t, result)
				if !errors.Is(err, c.want) || c.want == nil && err != nil || Offered(err) {
					t.Fatalf("%v, offered %v; want %v", err, Offered(err), c.want)
				}
				if name := wait(t, lost); name != "a" || s.Peers() != 0 {
					t.Errorf("lost %q, %d peers are left", name, s.Peers())
				}
				if errors.Is(err, ErrRefused) {
					must(t, server.SetDeadline(time.Now().Add(limit)))
					b := make([]byte, 12)
					if _, err := io.ReadFull(server, b); err != nil || string(b) != "already here" {
						t.Fatalf("read %q, %v", b, err)
					}
					talks(t, client, server)
				}
				server.Close()
			})
		}
	}
}

func TestReceiverIsStopped(t *testing.T) {
	for _, step := range []string{"unread", "offer"} {
		t.Run(step, func(t *testing.T) {
			noneLeft(t)
			s, end, _ := newSender(t)
			s.within = 50 * time.Millisecond
			if step == "offer" {
				s.within = time.Second // it must come that far
			}
			p := start(t, "receiver", step, end)
			p.expect("started")
			if step == "unread" {
				p.stop()
			}
			client, server := connect(t)
			result := send(s, server)
			if step == "offer" {
				p.expect(step)
				p.stop()
			}
			err := wait(t, result)
			if !errors.Is(err, ErrRefused) || !Offered(err) {
				t.Fatalf("%v, offered %v; want refused, and offered", err, Offered(err))
			}
			if n := s.Peers(); n != 0 {
				t.Errorf("%d peers, with one that does not answer", n)
			}
			talks(t, client, server)
			// A copy is left, as was said: close alone does not end it.
			must(t, server.CloseWrite())
			server.Close()
			closes(t, client)
		})
	}
	for _, step := range []string{"ack", "commit"} {
		t.Run(step, func(t *testing.T) {
			s, end, _ := newSender(t)
			s.within = time.Second // it must come that far
			p := start(t, "receiver", step, end)
			p.expect("started")
			_, server := connect(t)
			result := send(s, server)
			p.expect(step)
			p.stop()
			// No other connection waits for a peer that owes an answer.
			until(t, "silent", func() bool { return s.Peers() == 0 })
			_, other := connect(t)
			if err := wait(t, send(s, other)); !errors.Is(err, ErrRefused) || Offered(err) {
				t.Errorf("a second connection: %v", err)
			}
			select {
			case err := <-result:
				t.Fatalf("%v, of a connection that has been given away", err)
			default:
			}
			must(t, s.Close())
			if err := wait(t, result); !errors.Is(err, ErrLost) || Offered(err) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

// The kernel does not count for unix connections: nobody can tell whether a
// peer that died had read something.
func TestUnixConnection(t *testing.T) {
	for _, step := range []string{"ack", "commit"} {
		s, end, _ := newSender(t)
		p := start(t, "receiver", step, end)
		p.expect("started")
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		f := os.NewFile(uintptr(fds[0]), "x")
		c, err := net.FileConn(f)
		must(t, err)
		f.Close()
		result := send(s, c.(*net.UnixConn))
		p.expect(step)
		p.kill()
		if err := wait(t, result); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", step, err)
		}
		c.Close()
		syscall.Close(fds[1])
	}
}
