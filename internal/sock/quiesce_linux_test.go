package sock

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A crowd is clients that connect, send a line and expect it back, over and
// over again, to servers that come and go at one address.
type crowd struct {
	address Address
	ways    []string // by which clients come to it; none: as it is written
	turn    atomic.Int64
	byWay   [2]atomic.Int64 // served
	served  atomic.Int64
	refused atomic.Int64
	silent  atomic.Int64          // connects that got no answer in time, and were given up
	lost    atomic.Pointer[error] // the first error after a connect that succeeded
	clients sync.WaitGroup
}

func (c *crowd) run(ctx context.Context, clients int) {
	for range clients {
		c.clients.Go(func() {
			for ctx.Err() == nil && c.lost.Load() == nil {
				c.once(ctx)
			}
		})
	}
}

func (c *crowd) once(ctx context.Context) {
	// A dropped SYN is sent again after a second: too long for this test, so
	// a client tries anew before.
	to, way := c.address.Address, 0
	if len(c.ways) > 0 {
		way = int(c.turn.Add(1)) % len(c.ways)
		to = c.ways[way]
	}
	conn, err := net.DialTimeout(c.address.Network, to, 20*time.Millisecond)
	switch {
	case err == nil:
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		c.refused.Add(1)
		select { // as a client would, leave the processor to the server
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
		return
	case errors.Is(err, syscall.ECONNRESET): // connected, and reset before it knew
		c.lost.CompareAndSwap(nil, &err)
		return
	default:
		c.silent.Add(1)
		return
	}
	defer conn.Close()
	const line = "hello\n"
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err = conn.Write([]byte(line)); err == nil {
		_, err = io.ReadFull(conn, make([]byte, len(line)))
	}
	if err != nil {
		c.lost.CompareAndSwap(nil, &err)
		return
	}
	c.byWay[way].Add(1)
	c.served.Add(1)
}

// A worker accepts from its copy of a socket until it is told to drain.
type worker struct {
	l     net.Listener
	loop  sync.WaitGroup
	conns sync.WaitGroup
}

func newWorker(l net.Listener) *worker {
	w := &worker{l: l}
	w.loop.Go(func() {
		for {
			c, err := w.l.Accept()
			if err != nil {
				return
			}
			w.serve(c)
		}
	})
	return w
}

func (w *worker) serve(c net.Conn) {
	w.conns.Go(func() {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 64)
		if n, err := c.Read(b); err == nil {
			_, _ = c.Write(b[:n])
		}
	})
}

// drain ends the accept loop, serves all who wait and closes the copy. With
// newcomers coming in, the queue is empty for moments only: one must do.
func (w *worker) drain(t *testing.T, quiesced bool) {
	must(t, w.l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Unix(1, 0)))
	w.loop.Wait()
	until(t, "an empty queue", func() bool {
		for {
			c, err := AcceptQueued(w.l)
			must(t, err)
			if c == nil {
				break
			}
			w.serve(c)
		}
		empty, err := ListenerEmpty(w.l)
		must(t, err)
		return empty || !quiesced
	})
	must(t, w.l.Close())
}

// cycle runs an owner and two workers at an address until the crowd has been
// served a few times, and closes.
func cycle(t *testing.T, c *crowd, quiesce func(*Listener) error) {
	l, err := Listen(c.address, Options{})
	must(t, err)
	workers := []*worker{newWorker(inherited(t, l)), newWorker(inherited(t, l))}
	enough := c.served.Load() + 50
	until(t, "some served", func() bool { return c.served.Load() >= enough || c.lost.Load() != nil })
	if quiesce != nil {
		must(t, quiesce(l))
	}
	for _, w := range workers {
		w.drain(t, quiesce != nil)
	}
	must(t, l.Close())
	for _, w := range workers {
		w.conns.Wait()
	}
}

func cycles(t *testing.T, a Address, n int, quiesce func(*Listener) error) (lost error) {
	return (&crowd{address: a}).cycles(t, n, quiesce)
}

func (c *crowd) cycles(t *testing.T, n int, quiesce func(*Listener) error) (lost error) {
	ctx, cancel := context.WithCancel(t.Context())
	c.run(ctx, 32)
	defer func() { cancel(); c.clients.Wait() }()
	for i := range n {
		cycle(t, c, quiesce)
		if err := c.lost.Load(); err != nil {
			t.Logf("lost a client in cycle %d: %v", i, *err)
			return *err
		}
	}
	t.Logf("%d cycles: %d served, %d refused, %d without an answer in time", n, c.served.Load(), c.refused.Load(), c.silent.Load())
	return nil
}

// freePort is an address that was free a moment ago.
func freePort(t *testing.T) Address {
	l := listen(t, "127.0.0.1:0", Options{})
	must(t, l.Close())
	return l.Address()
}

// Nobody who got a connection loses it, in 50 closings under 32 clients.
func TestQuiescedCloseLosesNobody(t *testing.T) {
	before := openFiles(t)
	for _, a := range []Address{freePort(t), unixAddress(socketPath(t))} {
		if err := cycles(t, a, 50, (*Listener).Quiesce); err != nil {
			t.Errorf("%s: a client was connected and then got: %v", a, err)
		}
	}
	if n := openFiles(t); n > before {
		t.Errorf("%d descriptors open, %d before", n, before)
	}
}

// everyway binds ":PORT", which is one socket for both families, and returns how
// clients of each come to it.
func everyway(t *testing.T) (l *Listener, ways []string) {
	if v6, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here: ", err)
	} else {
		must(t, v6.Close())
	}
	l = listen(t, ":0", Options{})
	_, port, err := net.SplitHostPort(l.Address().Address)
	must(t, err)
	return l, []string{"127.0.0.1:" + port, "[::1]:" + port}
}

// Nobody loses a connection either where clients of IPv4 and of IPv6 come to one
// socket.
func TestQuiescedCloseLosesNobodyOfEitherFamily(t *testing.T) {
	l, ways := everyway(t)
	must(t, l.Close())
	c := &crowd{address: l.Address(), ways: ways}
	if err := c.cycles(t, 50, (*Listener).Quiesce); err != nil {
		t.Errorf("a client was connected and then got: %v", err)
	}
	for i, way := range ways {
		if c.byWay[i].Load() == 0 {
			t.Errorf("nobody was served at %s", way)
		}
	}
}

// Who has come to such a socket before it is quiesced is served, of either family,
// and of neither does anybody come after.
func TestQuiesceStopsNewcomersOfEitherFamily(t *testing.T) {
	l, ways := everyway(t)
	w := inherited(t, l)
	for _, way := range ways {
		dial(t, Address{"tcp", way})
	}
	must(t, l.Quiesce())
	for _, way := range ways {
		c, err := AcceptQueued(w)
		if c == nil || err != nil {
			t.Fatalf("accepted %v, %v; want one of each family", c, err)
		}
		c.Close()
		if c, err := net.DialTimeout("tcp", way, 100*time.Millisecond); err == nil {
			c.Close()
			t.Errorf("a newcomer is connected to %s", way)
		} else if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("a newcomer to %s gets %v, want no answer", way, err)
		}
	}
}

// The same without Quiesce loses somebody soon: what the test above sees.
func TestPlainCloseLosesSomebody(t *testing.T) {
	if err := cycles(t, freePort(t), 2000, nil); err == nil {
		t.Error("closing without Quiesce lost nobody: the test of Quiesce proves nothing here")
	}
}
