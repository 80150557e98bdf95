package config

import (
	"fmt"
	"os"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/supervisor"
	"github.com/lastcall/lastcall/internal/wire"
)

// A draft is a program as it was said, and what is left to look up when all
// the rest of the configuration is known.
type draft struct {
	supervisor.Program
	place
	all       *loader
	at        map[string]place // of its keys
	listen    []entry
	listenEnv []entry
	dependsOn []entry
	ready     *question
	gates     []question
}

// newDraft returns a program with the documented defaults.
func (l *loader) newDraft(name string, at place) *draft {
	return &draft{
		place: at,
		all:   l,
		at:    map[string]place{},
		Program: supervisor.Program{
			Name:          name,
			Workers:       1,
			ReadyTimeout:  60 * time.Second,
			MinUptime:     time.Second,
			StopSignal:    syscall.SIGTERM,
			StopTimeout:   10 * time.Second,
			Drain:         wire.WaitAll,
			DrainTimeout:  25 * time.Second,
			Restart:       "always",
			MaxRestarts:   10,
			RestartWindow: time.Minute,
			MaxSurge:      1,
		},
	}
}

// keys are those of a table [program.NAME].
func (d *draft) keys() []key {
	p := &d.Program
	const own = "leave it out for the worker's own"
	return []key{
		{"command", command(&p.Command)},
		{"workers", count(&p.Workers, "; 0 is one for each CPU")},
		{"listen", list(&d.listen)},
		{"listen_env", list(&d.listenEnv)},
		{"port_base", d.portBase},
		{"balance", choice(&p.Balance, supervisor.Shared, supervisor.Slots)},
		{"depends_on", list(&d.dependsOn)},
		{"env", d.env},
		{"dir", text(&p.Dir)},
		{"user", text(&p.User)},
		{"ready", d.readyKey},
		{"ready_timeout", duration(&p.ReadyTimeout, "leave it out for 60s")},
		{"min_uptime", d.minUptime},
		{"gate", d.gateKey},
		{"close_signal", stopSignal(&p.CloseSignal)},
		{"stop_signal", stopSignals(&p.StopSignal, &p.StopSteps)},
		{"stop_command", command(&p.StopCommand)},
		{"stop_timeout", duration(&p.StopTimeout, "leave it out for 10s")},
		{"drain", choice(&p.Drain, wire.WaitAll, wire.WaitCritical, wire.WaitTime)},
		{"drain_timeout", duration(&p.DrainTimeout, "leave it out for 25s")},
		{"drain_timeout_max", duration(&p.DrainTimeoutMax, "leave it out for drain_timeout")},
		{"unwind_timeout", duration(&p.UnwindTimeout, own)},
		{"fresh_grace", duration(&p.FreshGrace, own)},
		{"expendable_grace", duration(&p.ExpendableGrace, own)},
		{"stall_timeout", duration(&p.StallTimeout, own)},
		{"lame_duck", duration(&p.LameDuck, "")},
		{"lame_duck_quiet", duration(&p.LameDuckQuiet, "")},
		{"restart", choice(&p.Restart, "always", "on-failure", "never")},
		{"max_restarts", count(&p.MaxRestarts, "")},
		{"restart_window", duration(&p.RestartWindow, "leave it out for 1m")},
		{"max_surge", count(&p.MaxSurge, "; 0 is stop first, then start")},
		{"max_draining", count(&p.MaxDraining, "; 0 is as many as there are workers")},
		{"max_requests", count(&p.MaxRequests, "; 0 is no limit")},
		{"max_requests_jitter", count(&p.MaxRequestsJitter, "")},
		{"max_age", duration(&p.MaxAge, "")},
		{"max_age_jitter", duration(&p.MaxAgeJitter, "")},
		{"max_memory", size(&p.MaxMemory)},
		{"max_memory_jitter", size(&p.MaxMemoryJitter)},
		{"watchdog", duration(&p.Watchdog, "")},
	}
}

// where returns the place of a key, or the program's if it was not given.
func (d *draft) where(key string) place {
	if at, ok := d.at[key]; ok {
		return at
	}
	return d.place
}

// minUptime reads how long a worker must stay up: to count as ready, if it does
// not say so, and before a roll ends its predecessor. The first has a default.
func (d *draft) minUptime(n *node) error {
	err := duration(&d.MinUptime, "")(n)
	d.Proven = d.MinUptime
	return err
}

// recycled refuses to replace under others what they depend on.
func (d *draft) recycled() error {
	for _, other := range d.all.drafts {
		for _, e := range other.dependsOn {
			if e.text != d.Name || len(d.Listen) > 0 && d.MaxSurge > 0 {
				continue
			}
			for key, set := range map[string]bool{"max_requests": d.MaxRequests > 0, "max_age": d.MaxAge > 0, "max_memory": d.MaxMemory > 0} {
				if set {
					return d.where(key).fail("take it out", "%s depends on %s, which cannot be replaced under it", other.Name, d.Name)
				}
			}
		}
	}
	return nil
}

// env reads a table of variables.
func (d *draft) env(n *node) error {
	if err := n.is(aTable, ""); err != nil {
		return err
	}
	for _, v := range n.items {
		if v.name == "" || strings.ContainsAny(v.name, "=\x00") {
			return v.fail("rename it", "%q cannot be a variable's name", v.name)
		}
		if wire.IsSaid(v.name) && v.name != "LASTCALL_SOCKET" { // that is the operator's, and for a worker that is one
			return v.fail("take it out", "is what lastcall itself says to each worker, of its own sockets and by its own settings")
		}
		if err := v.is(aString, v.quoted()); err != nil {
			return err
		}
		s, err := v.clean() // a variable may be empty
		if err != nil {
			return err
		}
		d.Env = append(d.Env, v.name+"="+s)
		d.at["env."+v.name] = v.place
	}
	return nil
}

// surroundings looks at what a program runs in: workers, directory, user.
func (d *draft) surroundings() error {
	if d.Workers == 0 {
		d.Workers = runtime.GOMAXPROCS(0) // knows the CPU affinity and, on Linux, the cgroup's limit
	}
	if d.Dir != "" {
		info, err := os.Stat(d.Dir)
		switch {
		case err != nil:
			return d.where("dir").fail("make it, or correct the path", "%q: %v", d.Dir, bareError(err))
		case !info.IsDir():
			return d.where("dir").fail("correct the path", "%q is not a directory", d.Dir)
		}
		d.Dir = inPlace("", d.Dir)
	}
	if d.User != "" {
		if err := checkUser(d.User); err != nil {
			return d.where("user").fail("correct it, or leave it out to run as the supervisor does", "%v", err)
		}
	}
	return nil
}

// checkUser takes a name or UID that the system knows, or any UID:GID.
func checkUser(s string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("only root can run a program as user %q", s)
	}
	number := func(id string) bool {
		_, err := strconv.ParseUint(id, 10, 32)
		return err == nil
	}
	find := user.Lookup
	if uid, gid, both := strings.Cut(s, ":"); both {
		if !number(uid) || !number(gid) {
			return fmt.Errorf("%q is not UID:GID", s)
		}
		return nil
	} else if number(uid) {
		find = user.LookupId
	}
	if _, err := find(s); err != nil {
		return fmt.Errorf("no user %q here", s)
	}
	return nil
}

// dependencies checks the names of depends_on.
func (d *draft) dependencies() error {
	var known []string
	for _, other := range d.all.drafts {
		if other != d {
			known = append(known, other.Name)
		}
	}
	for _, e := range d.dependsOn {
		if e.text != d.Name && !slices.Contains(known, e.text) {
			remedy := fmt.Sprintf("add a table [program.%s], or take it out", e.text)
			if near := nearest(e.text, known); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			}
			return e.fail(remedy, "no program %q", e.text)
		}
		d.DependsOn = append(d.DependsOn, e.text)
	}
	return nil
}

// cycle says whether programs wait for each other in a cycle.
func (l *loader) cycle() error {
	byName := map[string]*draft{}
	for _, d := range l.drafts {
		byName[d.Name] = d
	}
	done := map[string]bool{}
	var path []string
	var visit func(d *draft) error
	visit = func(d *draft) error {
		if i := slices.Index(path, d.Name); i >= 0 {
			cycle := strings.Join(append(path[i:], d.Name), " -> ")
			return d.where("depends_on").fail("take one of these out", "is a cycle: %s", cycle)
		}
		if done[d.Name] {
			return nil
		}
		path = append(path, d.Name)
		for _, name := range d.DependsOn {
			if err := visit(byName[name]); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		done[d.Name] = true
		return nil
	}
	for _, d := range l.drafts {
		if err := visit(d); err != nil {
			return err
		}
	}
	return nil
}
