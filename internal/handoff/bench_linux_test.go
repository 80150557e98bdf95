package handoff

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// playHolder adopts whatever comes.
func playHolder() {
	r := NewReceiver(newAdopted())
	if err := r.Add("s", 3); err != nil {
		panic(err)
	}
	say("started")
	pause()
	os.Exit(0)
}

// playClients connects so many times: the descriptors of all sides would be too
// many for one process.
func playClients(step string) {
	address, count, _ := strings.Cut(step, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		panic(err)
	}
	var conns []net.Conn
	for range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			panic(err)
		}
		if err := c.(*net.TCPConn).SetLinger(0); err != nil { // no port is left behind
			panic(err)
		}
		conns = append(conns, c)
	}
	pause()
	for _, c := range conns {
		c.Close()
	}
	os.Exit(0)
}

// BenchmarkMove moves b.N connections to another process, all at once: run it
// with -benchtime 10000x.
func BenchmarkMove(b *testing.B) {
	s := NewSender(func(string) {})
	defer s.Close()
	ours, theirs, err := Pair()
	must(b, err)
	must(b, s.Add("a", ours))
	p := start(b, "holder", "", theirs)
	p.expect("started")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	defer l.Close()
	start(b, "clients", fmt.Sprint(l.Addr(), " ", b.N))
	var conns []net.Conn
	for range b.N {
		c, err := l.Accept()
		must(b, err)
		conns = append(conns, c)
	}
	b.ResetTimer()
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() {
			if err := s.Send(c.(*net.TCPConn), Ticket{Listener: "web", Method: "GET"}); err != nil {
				b.Error(err)
			}
			c.Close()
		})
	}
	all.Wait()
	b.StopTimer()
}
