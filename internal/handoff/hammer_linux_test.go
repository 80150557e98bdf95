package handoff

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A station answers each number with the same number, and after a few of them
// sends the connection on.
type station struct {
	sender *Sender
	moves  atomic.Int64
}

func (s *station) Load() int { return rand.IntN(20) }

func (s *station) Accepts(Ticket) bool { return rand.IntN(20) > 0 }

func (s *station) Adopt(c net.Conn, t Ticket) bool {
	if rand.IntN(20) == 0 {
		return false
	}
	s.moves.Add(1)
	go s.serve(c.(*net.TCPConn), t)
	return true
}

func (s *station) serve(c *net.TCPConn, t Ticket) {
	defer c.Close()
	b := make([]byte, 8)
	for {
		for range 1 + rand.IntN(3) {
			_, err := io.ReadFull(c, b)
			if err == nil {
				_, err = c.Write(b)
			}
			if err != nil {
				if t.Offered {
					_ = c.CloseWrite()
				}
				return
			}
		}
		err := s.sender.Send(c, t)
		t.Offered = t.Offered || Offered(err)
		if err == nil {
			return
		}
		if errors.Is(err, ErrLost) {
			if Offered(err) {
				_ = c.CloseWrite()
			}
			return
		}
	}
}

// playStation is a station in a process of its own: 3 brings connections, 4
// takes them back.
func playStation() {
	s := &station{sender: NewSender(func(string) {})}
	r := NewReceiver(s)
	for _, err := range []error{s.sender.Add("parent", 4), r.Add("parent", 3)} {
		if err != nil {
			panic(err)
		}
	}
	say("started")
	pause()
	os.Exit(0)
}

// A crowd is clients that each send numbers, some ahead, and want each back
// once and in order.
type crowd struct {
	t       *testing.T
	address string
	over    atomic.Bool
	answers atomic.Int64
	lost    atomic.Int64
	running sync.WaitGroup
}

func (c *crowd) client() {
	defer c.running.Done()
	for !c.over.Load() {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			c.t.Error(err)
			return
		}
		c.talk(conn)
		conn.Close()
	}
}

func (c *crowd) talk(conn net.Conn) {
	first := rand.Uint64() >> 1
	sent, got := first, first
	b := make([]byte, 8)
	for !c.over.Load() {
		_ = conn.SetDeadline(time.Now().Add(limit))
		var out []byte
		for range 1 + rand.IntN(3) {
			out = binary.BigEndian.AppendUint64(out, sent)
			sent++
		}
		at := rand.IntN(len(out)) // in two pieces
		_, err := conn.Write(out[:at])
		if err == nil {
			_, err = conn.Write(out[at:])
		}
		for ; err == nil && got < sent; got++ {
			if _, err = io.ReadFull(conn, b); err == nil && binary.BigEndian.Uint64(b) != got {
				c.t.Errorf("answer %d, want %d", binary.BigEndian.Uint64(b)-first, got-first)
				return
			}
			c.answers.Add(1)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.t.Errorf("no answer within %v", limit)
		}
		if err != nil {
			c.lost.Add(1)
			return
		}
	}
}

// Connections wander between processes for a while, which are stopped or
// killed at random moments. Whatever happens, no byte is answered twice or by
// two; and if nobody is killed, none is lost.
func TestHammer(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(map[bool]string{false: "stopped", true: "killed"}[killed], func(t *testing.T) {
			noneLeft(t)
			s := &station{sender: NewSender(func(string) {})}
			s.sender.within = 50 * time.Millisecond
			s.sender.backoff = 5 * time.Millisecond
			r := NewReceiver(s)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go s.serve(c.(*net.TCPConn), Ticket{})
				}
			}()
			var children [3]*process
			spawn := func(i int) {
				theirs := join(t, s.sender, "child")
				back, ours, err := Pair()
				must(t, err)
				must(t, r.Add("child", ours))
				children[i] = start(t, "station", "", theirs, back)
				children[i].expect("started")
			}
			for i := range children {
				spawn(i)
			}
			c := &crowd{t: t, address: l.Addr().String()}
			for range 30 {
				c.running.Add(1)
				go c.client()
			}
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			stopped := map[int]bool{}
			for range 100 {
				<-tick.C
				i := rand.IntN(len(children))
				switch {
				case killed && rand.IntN(3) == 0:
					children[i].kill()
					spawn(i)
					delete(stopped, i)
				case stopped[i]:
					children[i].signal(syscall.SIGCONT)
					delete(stopped, i)
				case len(stopped) < 2:
					children[i].signal(syscall.SIGSTOP)
					stopped[i] = true
				}
			}
			for i := range stopped {
				children[i].signal(syscall.SIGCONT)
			}
			c.over.Store(true)
			c.running.Wait()
			t.Logf("%d answers, %d moves to us, %d connections lost", c.answers.Load(), s.moves.Load(), c.lost.Load())
			if !killed && c.lost.Load() > 0 {
				t.Errorf("%d connections were lost", c.lost.Load())
			}
			if c.answers.Load() < 1000 || s.moves.Load() < 100 {
				t.Errorf("%d answers, %d moves: this shows nothing", c.answers.Load(), s.moves.Load())
			}
			l.Close()
			for _, p := range children {
				p.kill()
			}
			must(t, s.sender.Close())
			must(t, r.Close())
		})
	}
}
