package lastcall

import (
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A deadlined is a socket that notes which deadlines it is given. It has no lock:
// two must not be given at a time.
type deadlined struct {
	net.Conn
	read, write []time.Time
}

func (d *deadlined) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

func (d *deadlined) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

func (d *deadlined) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, t)
	return nil
}

// TestNoDeadlineTakenAway has only those deadlines taken away that are there.
func TestNoDeadlineTakenAway(t *testing.T) {
	never, soon := time.Time{}, time.Now().Add(time.Hour)
	d := &deadlined{}
	c := &conn{Conn: d, server: &httpServer{}}
	for _, at := range []time.Time{never, never, soon, soon, never, never, soon} {
		if err := c.SetDeadline(at); err != nil {
			t.Fatal(err)
		}
	}
	want := []time.Time{soon, soon, never, soon}
	if !slices.Equal(d.read, want) || !slices.Equal(d.write, want) {
		t.Errorf("the socket was given\n%v for reads and\n%v for writes, want\n%v", d.read, d.write, want)
	}
}

// TestDrainKeepsItsDeadline begins a drain while net/http sets deadlines and
// takes them away, as it does for each request: whatever the order, that of the
// drain is the one that holds, and net/http's own where it is earlier.
func TestDrainKeepsItsDeadline(t *testing.T) {
	never, past := time.Time{}, time.Unix(1, 0)
	for i := range 5000 {
		d := &deadlined{}
		c := &conn{Conn: d, server: &httpServer{}}
		l := &leaving{fresh: time.Hour, stall: time.Hour}
		var wg sync.WaitGroup
		wg.Go(func() {
			for range i % 4 {
				c.SetReadDeadline(past)
				c.SetReadDeadline(never)
				c.SetWriteDeadline(never)
			}
		})
		now := time.Now()
		wg.Go(func() { c.leave(l, now) })
		wg.Wait()
		limit := now.Add(l.fresh)
		if r, w := d.read[len(d.read)-1], d.write[len(d.write)-1]; r != limit || w != limit {
			t.Fatalf("the deadlines are %v and %v, want the drain's, %v", r, w, limit)
		}
		c.SetReadDeadline(past)
		if r := d.read[len(d.read)-1]; r != past {
			t.Fatalf("the deadline is %v, want net/http's own, %v", r, past)
		}
		c.SetReadDeadline(never)
		if r := d.read[len(d.read)-1]; r != limit {
			t.Fatalf("the deadline is %v, want the drain's again, %v", r, limit)
		}
	}
}
