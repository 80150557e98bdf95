package sock

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
)

// leftBehind is what a worker still has of a listener whose newcomers are refused,
// and somebody who waits in its queue.
func leftBehind(t *testing.T, address string, o Options) (l *Listener, w net.Listener, waits net.Conn) {
	l = listen(t, address, o)
	w = inherited(t, l)
	ways := waysTo(t, l)
	waits = dial(t, ways[len(ways)-1])
	must(t, l.RefuseNewcomers())
	must(t, l.Close())
	return l, w, waits
}

// A successor listens at a port while a worker still has its socket: newcomers
// come to the successor, and who was in the queue is the worker's.
func TestListenWhereNewcomersAreRefused(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0", "tcp6:[::]:0"} {
		for _, o := range []Options{{}, {MPTCP: true}} {
			testSuccession(t, address, o)
		}
	}
}

func testSuccession(t *testing.T, address string, o Options) {
	l, w, waits := leftBehind(t, address, o)
	for range 3 { // one after the other
		next := listen(t, l.Address().String(), o)
		theirs := inherited(t, next)
		for range 8 {
			for _, way := range waysTo(t, l) {
				client := dial(t, way)
				server, err := theirs.Accept()
				must(t, err)
				echo(t, client, server)
				server.Close()
			}
		}
		if _, err := Listen(l.Address(), o); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: a third one: %v, want EADDRINUSE", address, err)
		}
		must(t, next.Close())
		must(t, theirs.Close())
	}
	server, err := AcceptQueued(w)
	must(t, err)
	if server == nil {
		t.Fatalf("%s: who waited is gone", address)
	}
	echo(t, waits, server)
	server.Close()
}

// Of several who want to succeed at the same time one does at the most.
func TestOneSuccessor(t *testing.T) {
	for range 20 {
		l, w, _ := leftBehind(t, "127.0.0.1:0", Options{})
		var all sync.WaitGroup
		start := make(chan struct{})
		next := make(chan *Listener, 4)
		for range cap(next) {
			all.Go(func() {
				<-start
				if l, err := Listen(l.Address(), Options{}); err == nil {
					next <- l
				} else if !errors.Is(err, syscall.EADDRINUSE) {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		if n := len(next); n > 1 {
			t.Fatalf("%d listen at one port", n)
		}
		for range len(next) {
			must(t, (<-next).Close())
		}
		must(t, w.Close())
	}
}

// What is only quiesced may be wanted again: nobody else listens there.
func TestNoSuccessorOfAQuiescedListener(t *testing.T) {
	l := listen(t, "127.0.0.1:0", Options{})
	must(t, quiesceUnprivileged(l))
	if _, err := Listen(l.Address(), Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, want EADDRINUSE", err)
	}
}
