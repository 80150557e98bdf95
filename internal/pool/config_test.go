package pool

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The configuration in a simulation: what programs there are at first, and how
// reloads change them.

// names are those programs may have, in an order in which each may depend on
// those before it.
func names() []string { return []string{"redis", "web", "api", "job"} }

func randomPrograms(r *rand.Rand) []string {
	var lines []string
	programs := []Program{
		{Name: "redis", Workers: 1 + r.IntN(5)/4, MaxSurge: 1},
		{Name: "web", Workers: 1 + r.IntN(4), MaxSurge: r.IntN(3), MaxDraining: r.IntN(3), Listeners: []string{"web"}, DependsOn: []string{"redis"}},
		{Name: "api", Workers: 1 + r.IntN(2), MaxSurge: 1, Listeners: []string{"web", "api"}, DependsOn: []string{"redis", "web"}},
	}[:1+r.IntN(3)]
	for _, p := range programs {
		p.Gated = len(p.Listeners) > 0 && r.IntN(2) == 0
		p.StopCommand = len(p.Listeners) < 2 && r.IntN(2) == 0
		p.CloseSignal, p.StopSteps = r.IntN(3) == 0, stopSteps(p.Name)
		if r.IntN(2) == 0 {
			randomSettings(r, &p)
		}
		lines = append(lines, sayProgram(p))
	}
	return lines
}

// stopSteps are those of a program whatever it becomes: of which list a life has
// its signals while that changes cannot be seen from outside.
func stopSteps(name string) []StopStep {
	if name == "api" {
		return []StopStep{{time.Second, 2}, {2 * time.Second, 3}}
	}
	return nil
}

// randomSettings are those that most programs leave as they are.
func randomSettings(r *rand.Rand, p *Program) {
	p.Restart = []RestartPolicy{"", Always, OnFailure, Never}[r.IntN(4)]
	p.MinUptime = []time.Duration{0, 0, time.Second}[r.IntN(3)]
	p.MaxAge = []time.Duration{0, 0, 30 * time.Second}[r.IntN(3)]
	p.MaxAgeJitter = []time.Duration{0, 10 * time.Second}[r.IntN(2)]
	p.DrainMax = []time.Duration{0, 14 * time.Second}[r.IntN(2)]
	p.Ports = len(p.Listeners) > 0 && r.IntN(3) == 0
	p.Watchdog = []time.Duration{0, 0, 5 * time.Second, 2 * time.Second}[r.IntN(4)]
	if len(p.Listeners) > 0 {
		p.LameDuck = []time.Duration{0, 4 * time.Second}[r.IntN(2)]
	}
}

// sayProgram is the inverse of stage.parseProgram, as far as the simulation
// goes.
func sayProgram(p Program) string {
	var b strings.Builder
	fmt.Fprintf(&b, "program %s workers=%d", p.Name, p.Workers)
	list := func(key string, list []string) {
		if len(list) > 0 {
			fmt.Fprintf(&b, " %s=%s", key, strings.Join(list, ","))
		}
	}
	list("listen", p.Listeners)
	list("depends_on", p.DependsOn)
	fmt.Fprintf(&b, " max_surge=%d max_draining=%d", p.MaxSurge, p.MaxDraining)
	for i, step := range p.StopSteps {
		b.WriteString(word(i == 0, " stop_signal=15") + fmt.Sprintf(",%v,%d", step.After, step.Signal))
	}
	b.WriteString(word(p.Ports, " ports") + word(p.Gated, " gated") + word(p.CloseSignal, " close_signal") + word(p.StopCommand, " stop_command") + word(p.Restart != "", " restart="+string(p.Restart)))
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"min_uptime", p.MinUptime}, {"max_age", p.MaxAge}, {"max_age_jitter", p.MaxAgeJitter}, {"watchdog", p.Watchdog}, {"drain_max", p.DrainMax}, {"lame_duck", p.LameDuck}} {
		b.WriteString(word(d.value > 0, fmt.Sprintf(" %s=%v", d.key, d.value)))
	}
	return b.String()
}

// randomReload changes the configuration in up to three ways, or in none. What
// a worker sees of a change, it sees by a roll; of the rest some is rolled too.
func (w *world) randomReload(r *rand.Rand) move {
	m := move{what: "reload"}
	programs := slices.Clone(w.config.programs)
	for range r.IntN(4) {
		i := r.IntN(len(programs))
		p := &programs[i]
		before := *p
		switch r.IntN(8) {
		case 0:
			p.Workers = 1 + r.IntN(4)
		case 1: // a name is never used again
			p.Listeners = append(slices.Clone(p.Listeners), fmt.Sprintf("l%d", len(w.story)*4+len(m.lines)))
		case 2:
			if n := len(p.Listeners); n > 0 {
				p.Listeners = slices.Delete(slices.Clone(p.Listeners), n-1, n)
			}
		case 3:
			p.DependsOn = nil
			for _, o := range programs {
				if slices.Index(names(), o.Name) < slices.Index(names(), p.Name) && r.IntN(2) == 0 {
					p.DependsOn = append(p.DependsOn, o.Name)
				}
			}
		case 4:
			p.MaxSurge, p.MaxDraining, p.Gated, p.StopCommand, p.CloseSignal = r.IntN(3), r.IntN(3), r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(3) == 0
		case 5:
			randomSettings(r, p)
		case 6:
			if len(programs) > 1 {
				programs = m.remove(programs, i)
			}
			continue
		case 7:
			name := names()[r.IntN(len(names()))]
			if slices.ContainsFunc(programs, func(o Program) bool { return o.Name == name }) {
				continue
			}
			added := Program{Name: name, Workers: 1 + r.IntN(2), MaxSurge: 1, StopSteps: stopSteps(name)}
			programs = append(programs, added)
			m.lines = append(m.lines, sayProgram(added))
			continue
		}
		m.lines = append(m.lines, sayProgram(*p))
		if !slices.Equal(before.Listeners, p.Listeners) || before.Watchdog != p.Watchdog {
			m.roll = append(m.roll, p.Name)
		}
	}
	for _, p := range programs {
		if r.IntN(4) == 0 {
			m.roll = append(m.roll, p.Name)
		}
	}
	slices.Sort(m.roll)
	m.roll = slices.Compact(m.roll)
	return m
}

// remove does without a program, as do all that depended on it.
func (m *move) remove(programs []Program, i int) []Program {
	name := programs[i].Name
	m.lines = append(m.lines, "without "+name)
	programs = slices.Delete(programs, i, i+1)
	for j := range programs {
		p := &programs[j]
		if slices.Contains(p.DependsOn, name) {
			p.DependsOn = slices.DeleteFunc(slices.Clone(p.DependsOn), func(d string) bool { return d == name })
			m.lines = append(m.lines, sayProgram(*p))
		}
	}
	return programs
}

// reload plays a reload, if what it would load is a configuration.
func (w *world) reload(m move) {
	before := w.config.programs
	for _, line := range m.lines {
		w.config.declare(strings.Fields(line))
	}
	lines := slices.Concat(m.lines, w.rebind())
	var known []string
	for _, name := range names() {
		for _, p := range w.config.programs {
			if p.Name != name {
				continue
			}
			for _, need := range p.DependsOn {
				if !slices.Contains(known, need) {
					w.config.programs = before
					return
				}
			}
			known = append(known, name)
		}
	}
	var roll []string
	for _, p := range w.config.programs {
		old := slices.IndexFunc(before, func(o Program) bool { return o.Name == p.Name })
		must := old >= 0 && (!slices.Equal(before[old].Listeners, p.Listeners) || before[old].Watchdog != p.Watchdog)
		if old >= 0 && (must || slices.Contains(m.roll, p.Name)) {
			roll = append(roll, p.Name)
		}
		for _, name := range p.Listeners {
			if w.listener[name] == nil {
				w.listener[name] = &listenerModel{}
			}
		}
	}
	w.declared = append(w.declared, lines...)
	w.step(Reload{w.token(), slices.Clone(w.config.programs), roll})
}

// rebind gives listeners that are closing a new name, as the shell does when it
// binds them again, and returns the lines that say so.
func (w *world) rebind() []string {
	var lines []string
	for _, p := range w.config.programs {
		var listeners []string
		for _, name := range p.Listeners {
			for w.listener[name] != nil && w.listener[name].quiescing {
				name += "x"
			}
			listeners = append(listeners, name)
		}
		if !slices.Equal(listeners, p.Listeners) {
			p.Listeners = listeners
			lines = append(lines, sayProgram(p))
			w.config.declare(strings.Fields(sayProgram(p)))
		}
	}
	return lines
}

// removedWhenGone: nothing of it lives, nobody needs it, and the configuration
// does without.
func removedWhenGone(w *world, a Action) {
	const rule = "a program that is removed is forgotten when it is gone, and not before"
	r, ok := a.(Removed)
	if !ok {
		return
	}
	if w.lives(r.Program) || w.dependant(r.Program) != nil || slices.ContainsFunc(w.loaded.Programs, func(p Program) bool { return p.Name == r.Program }) {
		w.fail(rule, "%s", render(a))
	}
}

func forgotten(w *world, _ *entry) {
	const rule = "a program that is removed is forgotten when it is gone, and not before"
	if w.stopping() {
		return
	}
	for _, pr := range w.pool.programs {
		if pr.removed && !w.lives(pr.Name) && len(pr.dependants) == 0 && !pr.held {
			w.fail(rule, "%s is not", pr.Name)
		}
		needed := slices.ContainsFunc(w.pool.programs, func(o *program) bool { return slices.Contains(o.DependsOn, pr.Name) })
		if !pr.removed && !needed && pr.next == nil && !slices.ContainsFunc(w.config.programs, func(p Program) bool { return p.Name == pr.Name }) {
			w.fail(rule, "%s is not being removed", pr.Name)
		}
	}
}

// asBefore: but for the number of workers, which a reload sets at once, and for
// what a reload has changed at once while nothing but the generation was rolled.
func asBefore(w *world, e *entry) {
	_, reloads := e.event.(Reload)
	for _, pr := range w.pool.programs {
		was, now := w.stable[pr.Name], pr.Program
		was.Workers, now.Workers = 0, 0
		back, rolled := false, false
		for _, a := range e.actions {
			if r, ok := a.(Rolled); ok && r.Program == pr.Name {
				back, rolled = r.Verdict.Outcome == RolledBack, true
			}
		}
		forward := false
		if w.rolls(pr) {
			back, forward = w.pool.rolls[0].back, !w.pool.rolls[0].back && w.pool.rolls[0].all
		}
		if back && !reloads && !reflect.DeepEqual(was, now) {
			w.fail("after a failed roll the program is what it was, settings too", "%s", sayProgram(pr.Program))
		}
		i := slices.IndexFunc(w.loaded.Programs, func(p Program) bool { return p.Name == pr.Name })
		switch {
		case !forward:
			w.stable[pr.Name] = pr.Program
		case rolled, w.rolled != w.pool.rolls[0]: // it has begun in this step
			w.stable[pr.Name] = w.pool.rolls[0].undo.program
		case reloads && i >= 0 && pr.next == nil && w.pool.rolls[0].same && !slices.Contains(w.loaded.Roll, pr.Name):
			w.stable[pr.Name] = w.loaded.Programs[i]
		}
	}
}

func inForce(w *world, a Action) {
	r, ok := a.(Reply)
	if !ok || r.Token != w.loaded.Token || r.Token == 0 || w.rollingBack || r.Verdict.Outcome >= RolledBack {
		return
	}
	if slices.ContainsFunc(w.pool.programs, func(pr *program) bool { return pr.behind }) {
		return // a roll that an earlier one asked for has failed since
	}
	if len(w.pool.programs) != len(w.loaded.Programs) {
		w.fail("a reload that is done is in force", "%s, with %d programs for %d", render(a), len(w.pool.programs), len(w.loaded.Programs))
	}
	for _, want := range w.loaded.Programs {
		if pr := w.pool.program(want.Name); pr == nil || !reflect.DeepEqual(pr.Program, want) {
			w.fail("a reload that is done is in force", "%s, and %s is not so", render(a), want.Name)
		}
	}
}
