package handoff

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
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
	s.within = limit // what a move costs is asked, not who is patient
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
	before := used()
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
	spent := used() - before
	p.kill()
	child := p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "sender-cpu-us/op")
	b.ReportMetric(float64(child.Microseconds())/float64(b.N), "receiver-cpu-us/op")
}

// used is the time of all CPUs that this process has taken.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkMessage(b *testing.B) {
	for _, m := range []message{
		{Op: opOffer, IDs: []uint64{1234}, Ticket: &Ticket{Listener: "web", Method: "GET", Idle: 123456789}, Marks: &marks{In: 123456, Out: 1234567}},
		{Op: opCommit, IDs: []uint64{1234, 1235, 1236, 1237}},
	} {
		b.Run(string(m.Op), func(b *testing.B) {
			for b.Loop() {
				bytes, err := encode(m)
				must(b, err)
				_, err = decode(bytes)
				must(b, err)
			}
		})
	}
}
