package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/lastcall/lastcall/internal/pool"
)

// errNothingToLoad is the answer to a reload of what came by flags.
var errNothingToLoad = errors.New("there is no configuration file to read again; restart replaces the workers")

// load reads the configuration again, for apply. It may wait for the file
// system, so it is not for the loop.
func (s *Supervisor) load() (Config, error) {
	if s.options.Load == nil {
		return Config{}, errNothingToLoad
	}
	return s.options.Load()
}

// apply makes c the configuration that holds, or changes nothing and says why.
// Programs of which workers have to see something else are rolled, with all
// also every other that has listeners.
func (s *Supervisor) apply(token int, c Config, all bool) error {
	if err := cmp.Or(s.unchangeable(c), s.refuseSlots(c)); err != nil {
		return err
	}
	old, names := s.config, maps.Clone(s.names)
	if err := s.rebind(c); err != nil {
		return err
	}
	s.config = c
	s.store() // first: what the parent has to forget is ours alone when it closes
	var roll []string
	for i := range c.Programs {
		p := &c.Programs[i]
		switch before := programNamed(old.Programs, p.Name); {
		case before == nil: // it is started
		case s.fresh[p.Name] || all && p.serves() || !reflect.DeepEqual(visible(before, names), visible(p, s.names)):
			roll, s.fresh[p.Name] = append(roll, p.Name), true
		default:
			s.adjust(p)
		}
	}
	s.log.Info("reloaded", "rolling", roll)
	s.step(pool.Reload{Token: token, Programs: s.corePrograms(), Roll: roll})
	s.closeUnserved()
	return nil
}

func programNamed(programs []Program, name string) *Program {
	for i := range programs {
		if programs[i].Name == name {
			return &programs[i]
		}
	}
	return nil
}

// unchangeable refuses what cannot change without another supervisor.
func (s *Supervisor) unchangeable(c Config) error {
	for _, f := range []struct{ key, old, new string }{
		{"name", s.config.Name, c.Name}, {"pidfile", s.config.PIDFile, c.PIDFile}, {"socket", s.config.Socket, c.Socket},
		{"log", s.config.Log, c.Log},
	} {
		if f.old != f.new {
			return fmt.Errorf("reload: %s cannot change from %q to %q; stop, and run again", f.key, f.old, f.new)
		}
	}
	return nil
}

// rebind opens the listeners that are new or have another address, all or none.
// Those that are no more wanted the core gives up; one that is left over from a
// program that has gone, and that still nobody serves, stays as closed as it is.
func (s *Supervisor) rebind(c Config) error {
	names := maps.Clone(s.names)
	var bound []string
	for _, l := range c.Listeners {
		var err error
		was := s.listeners[s.names[l.Name]]
		switch {
		case was.is(l) && s.welcomes(was):
			err = s.reserve(was, c.Programs)
		case s.names[l.Name] != "" && (was == nil || was.is(l)) && !served(c, l.Name):
		default:
			if err = s.bindOne(l, c.Programs); err == nil {
				bound = append(bound, s.names[l.Name])
			}
		}
		if err != nil {
			explained := s.ours(l, names)
			for _, name := range bound {
				_ = s.listeners[name].Close() // nobody has it yet
				delete(s.listeners, name)
			}
			s.names = names
			s.steer() // what was reserved in vain goes
			if explained == nil {
				explained = s.overlaps(err)
			}
			return fmt.Errorf("reload: %w", explained)
		}
	}
	for name := range s.names {
		if !wants(c, name) {
			delete(s.names, name)
		}
	}
	return nil
}

func wants(c Config, listener string) bool {
	for _, l := range c.Listeners {
		if l.Name == listener {
			return true
		}
	}
	return false
}

// served tells whether a program has the listener.
func served(c Config, listener string) bool {
	return slices.ContainsFunc(c.Programs, func(p Program) bool { return slices.Contains(p.Listen, listener) })
}

// errLeaving and errNamed are why the supervisor itself has an address that a
// reload wants for a listener.
var (
	errLeaving = errors.New("is still being closed here")
	errNamed   = errors.New("is that of another listener until then")
)

// ours says so, where the kernel says only that somebody has it; nil: it is
// nobody here. Ports that overlap have an explanation of their own. The names are
// those of before the reload, which is not to be.
func (s *Supervisor) ours(c Listener, names map[string]string) error {
	for name, l := range s.listeners {
		switch {
		case l.closed || l.config.Address != c.Address:
		case names[l.config.Name] != name || !s.welcomes(l):
			return &bindError{c, fmt.Errorf("%s %w", c.Address, errLeaving)}
		case l.config.Name != c.Name && !c.Each:
			return &bindError{c, fmt.Errorf("%s %w, %s", c.Address, errNamed, l.config.Name)}
		}
	}
	return nil
}

// is tells whether a listener, which may be nil, is what a configuration says.
func (l *listener) is(c Listener) bool {
	if l == nil {
		return false
	}
	was := l.config
	was.Where = c.Where
	return was == c
}

// welcomes tells whether newcomers come to a listener. Nothing that is said of one
// that is being emptied has the kernel take them again.
func (s *Supervisor) welcomes(l *listener) bool {
	return !l.closing && !l.closed && !slices.ContainsFunc(s.core.Snapshot().Listeners, func(v pool.ListenerView) bool {
		return v.Name == l.name && v.State != "open"
	})
}

// closeUnserved closes the listeners that the configuration says no more and no
// program had: of those the core does not know.
func (s *Supervisor) closeUnserved() {
	known := s.core.Snapshot().Listeners
	for _, l := range s.listeners {
		if s.current(l) || slices.ContainsFunc(known, func(v pool.ListenerView) bool { return v.Name == l.name }) {
			continue
		}
		s.closeListener(l)
	}
}

// visible is what a worker sees of its program's settings. The others are the
// supervisor's, and can change under it.
func visible(p *Program, names map[string]string) any {
	var listen []string
	for _, name := range p.Listen {
		listen = append(listen, names[name])
	}
	return []any{
		p.Command, p.Path, p.Env, p.Dir, p.User, listen, p.balance(), p.PortBase, p.Watchdog, p.MaxRequests, p.MaxRequestsJitter,
		p.ListenEnv, p.ReadyBy.FD,
	}
}

// settle makes the configuration of a program what a roll has left it with: one
// that has failed, or a rollback, brings back what was before, and with it what
// it depends on. The next restart goes on from there, and the next reload
// compares with it.
func (s *Supervisor) settle(name string, generation int) {
	v := s.versions[name][generation]
	if v == nil || s.fresh[name] {
		return // a reload has come meanwhile: it holds
	}
	p := v.Program
	p.Listen = make([]string, len(v.Listen))
	for i, core := range v.Listen {
		p.Listen[i] = s.listeners[core].config.Name
		if s.names[p.Listen[i]] == "" {
			s.names[p.Listen[i]] = core
		}
	}
	if now := programNamed(s.config.Programs, name); now != nil {
		*now = p
	} else {
		s.config.Programs = append(s.config.Programs, p)
	}
	for _, need := range p.DependsOn {
		if programNamed(s.config.Programs, need) == nil {
			s.settle(need, s.core.Generations(need)[0])
		}
	}
}

// adjust has the settings of a program hold for the workers it has.
func (s *Supervisor) adjust(p *Program) {
	for _, generation := range s.core.Generations(p.Name)[:1] {
		if v := s.versions[p.Name][generation]; v != nil {
			v.Program = *p
			v.Listen = s.coreNames(p.Listen)
			s.guardBy(v)
			s.watchMemory(&v.Program)
		}
	}
}

// guardBy tells the guard what has changed about how lives are to be stopped.
func (s *Supervisor) guardBy(v *version) {
	for _, p := range s.core.Snapshot().Programs {
		for _, slot := range p.Slots {
			for _, view := range slot.Lives {
				if l := s.lives[view.ID]; l != nil && l.program == &v.Program {
					l.guarded.Ruled(l.rule())
					l.turn(view)
				}
			}
		}
	}
}

// reloadAndRoll is what HUP asks for. Nobody waits for an answer, so it is in
// the log.
func (s *Supervisor) reloadAndRoll() {
	s.told.loads++
	go func() {
		s.loading <- struct{}{} // of two, the later reading is applied last
		defer func() { <-s.loading }()
		c, err := s.load()
		s.call(context.Background(), func() {
			s.told.loads--
			if err == nil && s.core.Phase() == pool.Stopping {
				err = errors.New("reload: stopping")
			}
			if err == nil {
				err = s.apply(0, c, true)
			}
			if err != nil {
				s.log.Error("nothing is changed", "err", err)
				s.judged("nothing is changed: " + err.Error())
			}
		})
	}()
}
