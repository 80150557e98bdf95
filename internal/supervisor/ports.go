package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/sock"
)

// A port for each slot is balance = "slots" with an address for each socket: the
// sockets are made, kept, emptied and closed as those are (slots.go), but nobody
// is steered, since clients have chosen. What differs is here.

// port returns the one that a slot of the program has to itself, 0 for none.
func (p *Program) port(slot int) int {
	if p.PortBase == 0 {
		return 0
	}
	return p.PortBase + slot
}

// mostWorkers is how many there can be before the ports end; 0: no limit.
func (p *Program) mostWorkers() int {
	if p.PortBase == 0 {
		return 0
	}
	return sock.MaxPort - p.PortBase + 1
}

// serves tells whether clients come to the program, as far as is known.
func (p *Program) serves() bool { return len(p.Listen) > 0 || p.PortBase > 0 }

// shown is the address of a listener as status has it; that of slot 0, if there
// are many.
func (ln *listener) shown() string {
	if ln.config.Each {
		return ln.config.Address.String()
	}
	return ln.Address().String()
}

// reserve binds what is missing of the sockets for the slots of the programs
// that have the listener, if it is one of many ports: before anything starts,
// since an address that somebody else has is then a mistake in the
// configuration, and later would be a worker that crashes. What it has bound in
// vain is closed by the next steer.
func (s *Supervisor) reserve(ln *listener, programs []Program) error {
	if !ln.config.Each {
		return nil
	}
	for _, p := range programs {
		if !slices.Contains(p.Listen, ln.config.Name) {
			continue
		}
		for slot := range p.Workers {
			if _, err := ln.own(pool.ID{Program: p.Name, Slot: slot}); err != nil {
				c := ln.config
				if address, e := c.Address.Port(slot); e == nil {
					c.Address = address
				}
				return &bindError{c, err}
			}
		}
	}
	return nil
}

// reserveFor binds what a scale will need, or says that it cannot be had.
func (s *Supervisor) reserveFor(e pool.Scale) error {
	p := programNamed(s.config.Programs, e.Program)
	if p == nil || p.PortBase == 0 || e.Workers > p.mostWorkers() || s.core.Phase() == pool.Stopping {
		return nil // the core has an answer
	}
	wanted := *p
	wanted.Workers = e.Workers
	for _, name := range p.Listen {
		if ln := s.listeners[s.names[name]]; ln != nil && !ln.closing && !ln.closed {
			if err := s.reserve(ln, []Program{wanted}); err != nil {
				s.steer() // what was reserved in vain goes
				return fmt.Errorf("scale %s: %w", e.Program, err)
			}
		}
	}
	return nil
}

// own returns the socket of a slot, and binds it if there is none.
func (ln *listener) own(id pool.ID) (int, error) {
	if number, ok := ln.slots[id.Worker()]; ok {
		return number, nil
	}
	address, err := ln.config.Address.Port(id.Slot)
	if err != nil {
		return 0, err
	}
	number, back, err := ln.back(address)
	if err != nil {
		return 0, err
	}
	if !back && (id.Slot > 0 || ln.slots != nil) { // else it is what was bound first
		l, err := sock.Listen(address, sock.Options{NoWait: true})
		if err != nil {
			return 0, err
		}
		number = ln.Add(l)
	}
	if ln.slots == nil {
		ln.slots = make(map[string]int)
	}
	ln.slots[id.Worker()] = number
	return number, nil
}

// overlaps explains that ports cannot be bound because workers have them that are
// yet to leave them. Nothing can be bound twice, and no slot does without its port
// for the time of a roll.
func (s *Supervisor) overlaps(err error) error {
	failed, ok := errors.AsType[*bindError](err)
	if !ok || !failed.listener.Each {
		return err
	}
	for _, ln := range s.listeners {
		for w, number := range ln.slots {
			if ln.closed || ln.Socket(number) == nil || portOf(ln.Socket(number).Address()) != portOf(failed.listener.Address) {
				continue
			}
			return fmt.Errorf("%s is what %s has until then; go there by way of ports that do not overlap: %w", failed.listener.Address, w, err)
		}
	}
	return err
}

// back has the sockets of an address stay behind that are on their way out of
// service while its slot comes back: newcomers are refused there, and another
// socket joins them. Where that cannot be, one is put into service again, and found.
// Rejected: that everywhere. What an ordinary user has quiesced cannot be undone,
// also when it is quiesced a moment later; and to close it for all who have it
// would fail the next accept of one that is at work, and reset its queue.
func (ln *listener) back(address sock.Address) (number int, found bool, err error) {
	for number := range ln.leaving {
		socket := ln.Socket(number)
		if socket == nil || portOf(socket.Address()) != portOf(address) || socket.RefuseNewcomers() == nil {
			continue
		}
		delete(ln.leaving, number)
		return number, true, ln.Return(number)
	}
	return 0, false, nil
}

func portOf(a sock.Address) string {
	_, port, _ := net.SplitHostPort(a.Address)
	return port
}

// current tells whether a listener is what its name means now, and not only
// what workers of before have.
func (s *Supervisor) current(ln *listener) bool { return s.names[ln.config.Name] == ln.name }

// unused tells whether a socket that was left may be closed. One that is steered
// away from can wait until nobody has it. At a port of its own newcomers would
// wait for nobody meanwhile: there it is enough that whoever has it does not
// accept any more, so that they are refused, and go elsewhere.
func (s *Supervisor) unused(ln *listener, number int, snap *pool.Snapshot) bool {
	if !ln.config.Each {
		return !s.holds(ln, number)
	}
	for _, p := range snap.Programs {
		for _, slot := range p.Slots {
			for _, v := range slot.Lives {
				l := s.lives[v.ID]
				if l == nil || !l.has(ln, number) || v.State == pool.LifeStuck {
					continue // it will neither accept nor end
				}
				if l.hello && !slices.Contains(v.Closed, ln.name) || !l.hello && !l.told {
					return false
				}
			}
		}
	}
	return true
}

// refuses has newcomers to a socket refused as long as a life without a channel
// has it. To close it would shut it down for that life too, which may be at work,
// and accept again when it is done. It returns false if the socket is to be closed.
func (s *Supervisor) refuses(ln *listener, number int) bool {
	for _, l := range s.lives {
		if !l.hello && l.has(ln, number) {
			return ln.Socket(number).RefuseNewcomers() == nil
		}
	}
	return false
}

// tell notes, refuseAfter later, that a life without a channel has its stop
// signal: by then it has closed its copies, or its sockets may be made to refuse.
func (s *Supervisor) tell(l *life) {
	own := false
	for name := range l.sockets {
		own = own || s.listeners[name].config.Each
	}
	if l.hello || !own {
		return
	}
	go func() {
		select {
		case <-time.After(refuseAfter):
			s.call(context.Background(), func() { l.told = true; s.steer() })
		case <-l.ctx.Done():
		}
	}()
}

// addresses are those that are a slot's own, as people write them: of its
// sockets, or the port that its workers bind themselves. The names are the core's.
func (s *Supervisor) addresses(p *Program, listeners []string, slot int) []string {
	if p.PortBase == 0 {
		return nil
	}
	var out []string
	for _, name := range listeners {
		if ln := s.listeners[name]; ln != nil && ln.config.Each {
			if a, err := ln.config.Address.Port(slot); err == nil {
				out = append(out, a.String())
			}
		}
	}
	if out == nil {
		out = append(out, ":"+strconv.Itoa(p.port(slot)))
	}
	return out
}
