package supervisor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/sock/steer"
)

// A keeper is who else has a listening socket, and goes on listening on it when
// this supervisor has closed its copy. So such a socket is neither quiesced nor
// shut down at the end: who comes waits in its queue for whoever serves next,
// and there is nobody in it who would be reset.
type keeper string

const (
	nobody    keeper = ""
	unit      keeper = "unit"  // the parent, whose socket it is
	fromStore keeper = "store" // the parent, which we have given a copy
)

// given are the sockets that the parent has passed, by the names of the
// listeners they are for. A socket of the parent's that is nobody's is an error:
// its clients would wait for ever. One of the store is our own and was what a
// configuration of before wanted, so it is let go.
func (s *Supervisor) given() (map[string]*sock.Listener, error) {
	out := make(map[string]*sock.Listener)
	var unnamed []*sock.Listener
	passed := s.options.Parent.Sockets()
	names := make(map[*sock.Listener]string)
	for _, p := range passed {
		if p.Stored {
			continue
		}
		l, err := sock.Take(p.FD)
		if err != nil {
			return nil, fmt.Errorf("listen: the parent passes what it calls %q: %w", p.Name, err)
		}
		c := listenerNamed(s.config, p.Name)
		if names[l] = p.Name; c == nil || out[c.Name] != nil {
			unnamed = append(unnamed, l)
			continue
		}
		if out[c.Name] = l; !l.At(c.Address) {
			s.log.Warn("the socket that the parent passes is elsewhere; its own address holds",
				"listener", c.Name, "address", l.Address().String(), "configured", c.Address.String())
		}
	}
	for _, l := range unnamed {
		c := s.at(l, out)
		if c == nil {
			return nil, s.nobodys(names[l], l)
		}
		out[c.Name] = l
	}
	for name := range out {
		if err := cannotBeShared(s.config, name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// restored are the sockets that a supervisor before this one has had stored, by
// the names of the listeners that still are what they were then.
func (s *Supervisor) restored(taken map[string]*sock.Listener) (map[string]*sock.Listener, error) {
	out := make(map[string]*sock.Listener)
	for _, p := range s.options.Parent.Sockets() {
		if !p.Stored {
			continue
		}
		l, err := sock.Take(p.FD)
		if err != nil {
			return nil, fmt.Errorf("listen: the parent has stored what it calls %q: %w", p.Name, err)
		}
		c := listenerNamed(s.config, p.Name)
		if c == nil || taken[p.Name] != nil || out[p.Name] != nil || cannotBeShared(s.config, p.Name) != nil || !l.At(c.Address) || !l.OwnPath(c.Mode) {
			s.log.Info("not listening any more", "name", p.Name, "address", l.Address().String())
			s.options.Parent.Unstore(p.Name)
			if err := l.Close(); err != nil {
				s.log.Warn("close listener", "listener", p.Name, "err", err)
			}
			continue
		}
		out[p.Name] = l
	}
	return out, nil
}

func listenerNamed(c Config, name string) *Listener {
	for i := range c.Listeners {
		if c.Listeners[i].Name == name {
			return &c.Listeners[i]
		}
	}
	return nil
}

// at finds the listener that wants the address of a socket, and has none yet.
func (s *Supervisor) at(l *sock.Listener, taken map[string]*sock.Listener) *Listener {
	for i, c := range s.config.Listeners {
		if taken[c.Name] == nil && l.At(c.Address) {
			return &s.config.Listeners[i]
		}
	}
	return nil
}

// nobodys says that a socket has no listener, and names both sides.
func (s *Supervisor) nobodys(name string, l *sock.Listener) error {
	var want []string
	for _, c := range s.config.Listeners {
		want = append(want, fmt.Sprintf("%s (%s)", c.Name, c.Address))
	}
	if len(want) == 0 {
		want = []string{"none"}
	}
	return fmt.Errorf("listen: the parent passes a socket %q (%s), and no listener that is left has this name or address; the listeners are: %s; "+
		"set FileDescriptorName= to one of them, or add a listener of this name", name, l.Address(), strings.Join(want, ", "))
}

// cannotBeShared says why a listener cannot be a socket that somebody else has
// too: its program wants one for each slot, which only their maker can close
// without losing anybody.
func cannotBeShared(c Config, listener string) error {
	if l := listenerNamed(c, listener); l != nil && l.Each {
		return fmt.Errorf("listen: the parent passes the socket of %s, which has a port for each worker; "+
			"take the listener out of the socket unit, or give it one address", listener)
	}
	for _, p := range c.Programs {
		if p.balance() == Slots && slices.Contains(p.Listen, listener) {
			return fmt.Errorf("listen: the parent passes the socket of %s, and program %s has balance = %q, which needs sockets of its own; "+
				"take the listener out of the socket unit, or use balance = %q", listener, p.Name, Slots, Shared)
		}
	}
	return nil
}

// refuseSlots says why a configuration cannot be had that wants a socket for
// each slot where the parent's own is.
func (s *Supervisor) refuseSlots(c Config) error {
	for name, core := range s.names {
		if l := s.listeners[core]; l != nil && l.kept == unit { // it may be gone, and its name left
			if err := cannotBeShared(c, name); err != nil {
				return fmt.Errorf("reload: %w", err)
			}
		}
	}
	return nil
}

// store has the parent keep copies of the sockets that we have bound, as far as
// it has room, and forget those that are not wanted any more. Like the core it
// asks what is true. At the end they stay with the parent.
func (s *Supervisor) store() {
	room := s.options.Parent.Room()
	if room == 0 || s.ending() {
		return
	}
	for _, l := range s.listeners {
		if l.kept == fromStore && (l.closed || l.closing || s.names[l.config.Name] != l.name || cannotBeShared(s.config, l.config.Name) != nil) {
			s.unstore(l)
		}
		if l.kept == fromStore {
			room--
		}
	}
	for _, c := range s.config.Listeners {
		l := s.listeners[s.names[c.Name]]
		if l == nil || l.kept != nobody || l.closed || l.closing || room <= 0 || len(l.Numbers()) > 1 || cannotBeShared(s.config, c.Name) != nil {
			continue
		}
		s.options.Parent.Store(c.Name, l.Socket(l.Numbers()[0]).FD())
		l.kept = fromStore
		room--
	}
}

// unstore makes a socket ours alone again.
func (s *Supervisor) unstore(l *listener) {
	s.options.Parent.Unstore(l.config.Name)
	l.kept = nobody
}

// unstoreAll is for an end after which nobody is meant to come: clients are to
// be refused at once, and not to wait for a next start.
func (s *Supervisor) unstoreAll() {
	if s.ending() {
		return // too late: who waits in them would be reset
	}
	for _, l := range s.listeners {
		if l.kept == fromStore {
			s.unstore(l)
		}
	}
}

// bind makes listeners of the sockets that the parent has passed, and binds the
// others, all or none.
func (s *Supervisor) bind() error {
	given, err := s.given()
	if err != nil {
		return err
	}
	restored, err := s.restored(given)
	if err != nil {
		return err
	}
	for _, c := range s.config.Listeners {
		switch {
		case given[c.Name] != nil:
			s.add(&listener{Group: steer.New(given[c.Name]), config: c, kept: unit})
		case restored[c.Name] != nil:
			s.add(&listener{Group: steer.New(restored[c.Name]), config: c, kept: fromStore})
		default:
			if err := s.bindOne(c, s.config.Programs); err != nil {
				return err
			}
		}
	}
	return nil
}
