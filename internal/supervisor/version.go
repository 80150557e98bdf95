package supervisor

import (
	"maps"
	"os"
	"slices"

	"github.com/lastcall/lastcall/internal/proc"
)

// A version is a program as it was in one generation: its settings, and its
// executable, pinned, so that a crash restarts what crashed and a roll that
// fails goes back to what there was, whatever has happened to the file.
type version struct {
	Program
	pinned *os.File // nil: it cannot be
}

// version returns what a generation of a program is. A new one is what the
// configuration says now.
func (s *Supervisor) version(name string, generation int) (*version, error) {
	of := s.versions[name]
	if of == nil {
		of = make(map[int]*version)
		s.versions[name] = of
	}
	if v := of[generation]; v != nil {
		return v, nil
	}
	v := &version{Program: *s.configured(name)}
	v.Listen = s.coreNames(v.Listen)
	of[generation] = v
	delete(s.fresh, name)
	var err error
	v.pinned, err = proc.Pin(v.Path)
	return v, err
}

// configured returns what the configuration says of a program now.
func (s *Supervisor) configured(name string) *Program {
	for i := range s.config.Programs {
		if s.config.Programs[i].Name == name {
			return &s.config.Programs[i]
		}
	}
	panic("supervisor: no program " + name)
}

// forget lets go of the generations that can have no life any more.
func (s *Supervisor) forget(name string) {
	keep := s.core.Generations(name)
	for generation, v := range s.versions[name] {
		used := slices.Contains(keep, generation)
		for _, l := range s.lives {
			used = used || l.program == &v.Program
		}
		if !used {
			v.unpin()
			delete(s.versions[name], generation)
		}
	}
	s.forgetListeners()
}

// forgetListeners lets go of those closed listeners that neither the core knows
// any more nor a generation that it may go back to: each reload that moves one
// would add to those that each upgrade carries along, and each end looks at.
func (s *Supervisor) forgetListeners() {
	known := make(map[string]bool)
	for _, l := range s.core.Snapshot().Listeners {
		known[l.Name] = true
	}
	for _, of := range s.versions {
		for _, v := range of {
			for _, name := range v.Listen {
				known[name] = true
			}
		}
	}
	maps.DeleteFunc(s.listeners, func(name string, l *listener) bool { return l.closed && !known[name] })
}

// unpin closes all that is pinned.
func (s *Supervisor) unpin() {
	for _, of := range s.versions {
		for _, v := range of {
			v.unpin()
		}
	}
}

func (v *version) unpin() {
	if v.pinned != nil {
		_ = v.pinned.Close() // it was only read
	}
}

// coreNames returns the names that the core has for listeners. They are those
// of the configuration, but for one that a reload has bound anew elsewhere
// while the old one is still in use.
func (s *Supervisor) coreNames(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = s.names[name]
	}
	return out
}

// closedListeners returns the core's names of listeners that a life has closed.
func (l *life) closedListeners(s *Supervisor, names []string) []string {
	var out []string
	for _, core := range l.program.Listen {
		if slices.Contains(names, s.listeners[core].config.Name) {
			out = append(out, core)
		}
	}
	return out
}
