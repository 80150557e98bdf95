package supervisor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/sock/steer"
)

// The ways in which the workers of a program come by their connections.
const (
	Shared = "shared" // all accept from one queue
	Slots  = "slots"  // each slot has a socket of its own, and the kernel chooses
)

// socket returns which socket of a listener a life is given. That of a slot is
// made for its first life, and is that of all who come after it in the slot.
func (l *life) socket(ln *listener) (int, error) {
	if ln.config.Each {
		return ln.own(l.id)
	}
	open := ln.Numbers()
	if l.program.balance() != Slots {
		return open[0], nil
	}
	w := l.id.Worker()
	if number, ok := ln.slots[w]; ok {
		return number, nil
	}
	// What was bound first is the first slot's. A program that was shared
	// until now goes on accepting from it meanwhile.
	number := open[0]
	for _, taken := range ln.slots {
		if taken == number {
			var err error
			if number, err = ln.Join(); err != nil {
				return 0, err
			}
			break
		}
	}
	if ln.slots == nil {
		ln.slots = make(map[string]int)
	}
	ln.slots[w] = number
	return number, nil
}

// socketsOf returns the sockets that a life was given of listeners.
func (s *Supervisor) socketsOf(l *life, listeners []string) []*sock.Listener {
	var out []*sock.Listener
	for _, name := range listeners {
		if socket := s.listeners[name].Socket(l.sockets[name]); socket != nil {
			out = append(out, socket)
		}
	}
	return out
}

// steer brings the sockets of slots in line with what the core knows. Like the
// core it asks what is true: newcomers go to those of lives that are ready; a
// socket that no life is to accept from any more is left, if others remain; one
// that was left is closed when nobody has it.
func (s *Supervisor) steer() {
	var snap *pool.Snapshot
	for _, ln := range s.listeners {
		if ln.closing || ln.closed || len(ln.slots) == 0 && len(ln.leaving) == 0 {
			continue
		}
		if snap == nil {
			now := s.core.Snapshot()
			snap = &now
		}
		if slices.Contains(snap.Listeners, pool.ListenerView{Name: ln.name, State: "open"}) {
			s.steerOne(ln, snap)
		}
	}
}

func (s *Supervisor) steerOne(ln *listener, snap *pool.Snapshot) {
	ready, kept := s.uses(ln, snap)
	to := kept
	if len(ready) > 0 {
		to = ready
	}
	var leave []int
	for _, number := range ln.Numbers() {
		if len(kept) > 0 && !slices.Contains(kept, number) {
			leave = append(leave, number)
		}
	}
	s.warn(ln, ln.Steer(to))
	for _, number := range leave {
		s.leave(ln, number)
	}
	for number, p := range ln.leaving {
		if p.quiet && s.unused(ln, number, snap) && !s.refuses(ln, number) {
			delete(ln.leaving, number)
			s.warn(ln, ln.Remove(number))
		}
	}
}

func (s *Supervisor) warn(ln *listener, err error) {
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.log.Warn("balance", "listener", ln.config.Name, "err", err)
	}
}

// uses returns the sockets of a listener that ready lives accept from, and those
// that lives do or are to.
func (s *Supervisor) uses(ln *listener, snap *pool.Snapshot) (ready, kept []int) {
	for _, p := range snap.Programs {
		for _, slot := range p.Slots {
			staffed := false
			for _, v := range slot.Lives {
				l := s.lives[v.ID]
				if l == nil || l.sockets == nil || v.State != pool.LifeStarting && v.State != pool.LifeReady {
					continue // not given any yet, or on its way out
				}
				staffed = true
				if number, ok := l.sockets[ln.name]; ok {
					kept = append(kept, number)
					if v.State == pool.LifeReady {
						ready = append(ready, number)
					}
				}
			}
			comes := snap.Phase != pool.Stopping && slot.Slot < p.Wanted && (slot.State == "empty" || slot.State == "waiting")
			if number, ok := ln.slots[worker(p.Name, slot.Slot)]; ok && comes && (!staffed || ln.config.Each && s.current(ln)) {
				kept = append(kept, number)
			}
		}
	}
	return ready, kept
}

// holds tells whether a life was given a socket.
func (s *Supervisor) holds(ln *listener, number int) bool {
	for _, l := range s.lives {
		if l.has(ln, number) {
			return true
		}
	}
	return false
}

func (l *life) has(ln *listener, number int) bool {
	given, ok := l.sockets[ln.name]
	return ok && given == number
}

// A parting is the way of a socket out of service.
type parting struct{ quiet bool } // nobody is in it any more

// leave takes a socket out of service: nobody comes to it any more, and those
// who have are waited for aside, while its worker still accepts. Only then that
// is asked to end.
func (s *Supervisor) leave(ln *listener, number int) {
	if ln.leaving == nil {
		ln.leaving = make(map[int]*parting)
	}
	now := &parting{}
	ln.leaving[number] = now
	if ln.config.Each {
		s.log.Info("closing", "listener", ln.config.Name, "address", ln.Socket(number).Address().String())
	} else {
		s.log.Info("newcomers steered away", "listener", ln.config.Name, "socket", number)
	}
	for w, of := range ln.slots {
		if of == number {
			delete(ln.slots, w) // one that comes after all gets another
		}
	}
	s.warn(ln, ln.Leave(number))
	socket, bound := ln.Socket(number), quiesceBound
	for _, l := range s.lives {
		if l.has(ln, number) { // its time to drain runs: there must be some left
			bound = min(bound, l.program.DrainTimeout/2)
		}
	}
	go func() {
		// They are steered away already: where the socket cannot be quiesced, who
		// is in the queue is waited for all the same.
		empty := func() (bool, error) { n, err := socket.Queued(); return n == 0, err }
		if rest, err := socket.QuiesceOne(); err == nil {
			empty = rest.Empty
		}
		waitEmpty(empty, bound)
		s.call(context.Background(), func() {
			if now.quiet = true; ln.leaving[number] == nil && ln.Socket(number) != nil {
				s.warn(ln, ln.Return(number)) // it was wanted again meanwhile
			}
			for _, l := range s.lives {
				if !s.leaves(l) {
					s.release(l)
				}
			}
			s.steer()
		})
	}()
}

// leaves tells whether a socket of a life is still to be emptied by it.
func (s *Supervisor) leaves(l *life) bool {
	for name, number := range l.sockets {
		if p := s.listeners[name].leaving[number]; p != nil && !p.quiet {
			return true
		}
	}
	return false
}

// heldBack tells whether an action that asks a life to end has to wait until
// its socket is empty; then it is kept until release. What ends a life at once
// does not wait, and neither does what was kept.
func (s *Supervisor) heldBack(a pool.Action) bool {
	var id pool.ID
	switch a := a.(type) {
	case pool.Ask:
		id = a.ID
	case pool.AskGate:
		id = a.ID
	case pool.RunStopCommand:
		id = a.ID
	case pool.Signal:
		id = a.ID
	case pool.Cut:
		s.release(s.lives[a.ID])
		return false
	case pool.Kill:
		s.lives[a.ID].held = nil
		return false
	default:
		return false
	}
	l := s.lives[id]
	if !s.leaves(l) {
		return false
	}
	l.held = append(l.held, heldAction{a, time.Now()})
	return true
}

// A heldAction is one that waits, and since when.
type heldAction struct {
	pool.Action
	since time.Time
}

// release carries out what was held back of a life.
func (s *Supervisor) release(l *life) {
	held := l.held
	l.held = nil
	for _, h := range held {
		if ask, ok := h.Action.(pool.Ask); ok { // for the core its time runs already
			ask.Timeout = max(time.Millisecond, ask.Timeout-time.Since(h.since))
			h.Action = ask
		}
		s.act(h.Action)
	}
}

// balancing tells whether a socket is being emptied, which another executable
// would not know of.
func (s *Supervisor) balancing() bool {
	for _, ln := range s.listeners {
		for _, p := range ln.leaving {
			if !p.quiet && !ln.closed {
				return true
			}
		}
	}
	return false
}

// adoptSockets goes on with the sockets of a listener.
func (ln *listener) adoptSockets(saved savedListener) (err error) {
	if saved.Closed {
		return nil
	}
	ln.slots = saved.Slots
	for _, h := range saved.Sockets {
		if h.Left {
			if ln.leaving == nil {
				ln.leaving = make(map[int]*parting)
			}
			ln.leaving[h.Number] = &parting{quiet: true}
		}
	}
	ln.Group, err = steer.Adopt(saved.Sockets)
	return err
}

func (p *Program) balance() string { return cmp.Or(p.Balance, Shared) }
