// Package steer gives each worker a listening socket of its own. At one address
// it has the kernel choose between them: by a classic BPF program on a group
// of SO_REUSEPORT sockets, which needs no privilege and is put in the place of
// the one before whenever somebody becomes ready or ceases to be.
//
// The kernel knows the sockets of a group by their indexes, in the order in
// which they began to listen; when one is closed the last moves into its place.
// A Group keeps that account.
package steer

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/lastcall/lastcall/internal/sock"
)

// A Group is the sockets that one owner has under one name: most often one,
// and then nothing here differs from a sock.Listener. More are either at one
// address (Join), and steered, or at one each (Add), and then the client has
// chosen. Sockets have numbers that stay, the first is 0. Its methods may be
// called from any goroutine.
type Group struct {
	address sock.Address

	mu      sync.Mutex
	members []*member // by their indexes in the kernel
	next    int       // number of the next
	to      []int     // numbers of those that newcomers go to
	program []int     // the same as indexes, as the kernel has it; nil: it has no program
	joined  bool      // there was more than one at the address: the kernel knows a group
}

type member struct {
	*sock.Listener
	number int
	left   bool // newcomers never go to it again
}

// New returns a group of one socket, which is its own from here on.
func New(l *sock.Listener) *Group {
	return &Group{address: l.Address(), members: []*member{{Listener: l}}, next: 1, to: []int{0}}
}

// Address returns the address of the first socket with its port resolved; it
// stays after Close.
func (g *Group) Address() sock.Address { return g.address }

// Numbers returns the sockets, the oldest first, but for those that Leave was
// called of.
func (g *Group) Numbers() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []int
	for _, m := range g.members {
		if !m.left {
			out = append(out, m.number)
		}
	}
	slices.Sort(out)
	return out
}

// Socket returns the socket of a number, nil for one that is closed.
func (g *Group) Socket(number int) *sock.Listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := g.index(number); i >= 0 {
		return g.members[i].Listener
	}
	return nil
}

func (g *Group) index(number int) int {
	return slices.IndexFunc(g.members, func(m *member) bool { return m.number == number })
}

// Join opens one more socket and returns its number. Newcomers do not go to it
// before a Steer says so, but for those of the first microseconds after the
// first Join, which wait in its queue. Where there are no groups it gives
// errors.ErrUnsupported.
func (g *Group) Join() (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) >= maxTargets {
		return 0, fmt.Errorf("join %s: %d sockets are the limit", g.address, maxTargets)
	}
	l, err := g.members[0].Join()
	if err != nil {
		return 0, err
	}
	m := &member{Listener: l, number: g.next}
	g.next++
	g.members, g.joined = append(g.members, m), true
	return m.number, g.attach(g.indexes(nil))
}

// Add takes in a socket at another address, which is the group's own from here
// on, and returns its number.
func (g *Group) Add(l *sock.Listener) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &member{Listener: l, number: g.next}
	g.next++
	g.members = append(g.members, m)
	return m.number
}

// Steer has newcomers go to the sockets of these numbers, equally often. Who is
// in the queue of another stays there. With none, or none that is open, they
// go to all.
func (g *Group) Steer(to []int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = slices.Clone(to)
	return g.attach(g.indexes(nil))
}

// indexes returns where newcomers are to go, except for the indexes of without.
func (g *Group) indexes(without []int) []int {
	var chosen, open []int
	for i, m := range g.members {
		if m.left || slices.Contains(without, i) {
			continue
		}
		open = append(open, i)
		if slices.Contains(g.to, m.number) {
			chosen = append(chosen, i)
		}
	}
	if len(chosen) == 0 {
		return open
	}
	return chosen
}

// attach has the kernel choose between indexes.
func (g *Group) attach(indexes []int) error {
	if !g.joined || len(indexes) == 0 || slices.Equal(indexes, g.program) {
		return nil
	}
	if err := attach(g.members[0].FD(), program(random(), indexes)); err != nil {
		return fmt.Errorf("steer %s: %w", g.address, err)
	}
	g.program = indexes
	return nil
}

// Leave turns newcomers away from a socket for good. Who was on the way to it
// still comes into its queue, until its QuiesceOne.
func (g *Group) Leave(number int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.index(number)
	if i < 0 {
		return fmt.Errorf("leave %s: socket %d is closed", g.address, number)
	}
	g.members[i].left = true
	return g.attach(g.indexes(nil))
}

// Return takes back a Leave, and a QuiesceOne of that socket.
func (g *Group) Return(number int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.index(number)
	if i < 0 {
		return fmt.Errorf("return to %s: socket %d is closed", g.address, number)
	}
	g.members[i].left = false
	return errors.Join(g.members[i].Unquiesce(), g.attach(g.indexes(nil)))
}

// Remove closes a socket after Leave, for all who still hold it; whoever is in
// its queue is reset.
func (g *Group) Remove(number int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.index(number)
	if i < 0 || len(g.members) == 1 {
		return fmt.Errorf("close one of %s: socket %d is the only one, or none of it", g.address, number)
	}
	// The last one is about to have another index. A newcomer who comes in
	// between must not be sent to where it was: first the kernel chooses
	// between those that stay where they are.
	last := len(g.members) - 1
	first := g.attach(g.indexes([]int{i, last}))
	// Not only closed: as long as somebody else held it it would keep its
	// index, and there would be no telling when it loses it.
	err := errors.Join(g.members[i].Shut(), g.members[i].Close())
	g.members[i] = g.members[last]
	g.members = g.members[:last]
	g.program = nil
	return errors.Join(first, err, g.attach(g.indexes(nil)))
}

// Quiesce is sock.Listener.Quiesce, of all sockets.
func (g *Group) Quiesce() error { return g.each((*sock.Listener).Quiesce) }

// RefuseNewcomers is sock.Listener.RefuseNewcomers, of all sockets.
func (g *Group) RefuseNewcomers() error { return g.each((*sock.Listener).RefuseNewcomers) }

// Refuse is sock.Listener.Refuse, of all sockets. Those that are not empty are
// left as they are, and the error is sock.ErrNotEmpty.
func (g *Group) Refuse() error { return g.each((*sock.Listener).Refuse) }

// LeavePath is sock.Listener.LeavePath, of all sockets.
func (g *Group) LeavePath() {
	_ = g.each(func(l *sock.Listener) error { l.LeavePath(); return nil })
}

// Close is sock.Listener.Close, of all sockets.
func (g *Group) Close() error { return g.each((*sock.Listener).Close) }

func (g *Group) each(do func(*sock.Listener) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var first error
	for _, m := range g.members {
		if err := do(m.Listener); first == nil {
			first = err
		}
	}
	return first
}

// Empty is sock.Listener.Empty, of all sockets.
func (g *Group) Empty() (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// The first looks for handshakes with the port, which are anybody's; so
	// first of all, see there.
	empty, err := g.members[0].Empty()
	for _, m := range g.members[1:] {
		if !empty || err != nil {
			break
		}
		if !g.joined { // the port is its own too
			empty, err = m.Empty()
			continue
		}
		n, e := m.Queued()
		empty, err = n == 0, e
	}
	return empty, err
}

// A Handover is one socket of a Group as it is handed to another executable.
type Handover struct {
	Number int
	Left   bool
	Socket sock.Handover
}

// HandOver returns what Adopt needs. The Group stays as it is.
func (g *Group) HandOver() []Handover {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Handover, len(g.members))
	for i, m := range g.members {
		out[i] = Handover{m.number, m.left, m.HandOver()}
	}
	return out
}

// Adopt goes on with a Group that was handed over. The descriptors are its own
// from here on; newcomers go where they went until a Steer.
func Adopt(sockets []Handover) (*Group, error) {
	if len(sockets) == 0 {
		return nil, errors.New("adopt listener: it has no socket")
	}
	at := sockets[0].Socket.Address
	g := &Group{address: at, joined: len(sockets) > 1 && sockets[1].Socket.Address == at}
	for _, h := range sockets {
		l, err := sock.Adopt(h.Socket)
		if err != nil {
			return nil, err
		}
		g.members = append(g.members, &member{Listener: l, number: h.Number, left: h.Left})
		g.next = max(g.next, h.Number+1)
	}
	return g, nil
}
