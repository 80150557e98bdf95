package pool

import "slices"

// add appends a program that nothing is known of yet.
func (p *Pool) add(c Program) *program {
	pr := &program{Program: c, generation: 1, newest: 1, wanted: c.Workers}
	pr.resize(c.Workers)
	p.programs = append(p.programs, pr)
	return pr
}

// relate works out anew who depends on whom and who accepts from what, and
// puts every program behind all it depends on. While a program changes, what
// it was and what it will be counts too: as long as it may still have lives of
// the one, or may still get some of the other, nothing is taken from under
// them. It panics if a dependency is unknown or circular, which the
// configuration has ruled out.
func (p *Pool) relate() {
	for _, pr := range p.programs {
		pr.needs, pr.dependants = nil, nil
	}
	for _, pr := range p.programs {
		for _, name := range pr.DependsOn {
			need := p.program(name)
			if need == nil {
				panic("pool: unknown dependency " + name)
			}
			pr.needs = append(pr.needs, need)
		}
		for _, c := range pr.forms() {
			for _, name := range c.DependsOn {
				if need := p.program(name); need != nil && !slices.Contains(need.dependants, pr) {
					need.dependants = append(need.dependants, pr)
				}
			}
		}
	}
	p.sort()
	for _, l := range p.listeners {
		l.users = nil
	}
	for _, pr := range p.programs {
		for _, c := range pr.forms() {
			for _, name := range c.Listeners {
				p.use(pr, name)
			}
		}
	}
}

// forms returns what a program is, was before the roll under way, and will be
// after the next one.
func (pr *program) forms() []*Program {
	forms := []*Program{&pr.Program}
	for _, c := range []*Program{pr.before, pr.next} {
		if c != nil && !pr.removed {
			forms = append(forms, c)
		}
	}
	return forms
}

// sort keeps the order of the configuration, as far as dependencies let it.
func (p *Pool) sort() {
	unplaced := p.programs
	p.programs = nil
	for len(unplaced) > 0 {
		i := slices.IndexFunc(unplaced, func(pr *program) bool {
			return !slices.ContainsFunc(pr.needs, func(need *program) bool { return !slices.Contains(p.programs, need) })
		})
		if i < 0 {
			panic("pool: circular dependency of " + unplaced[0].Name)
		}
		p.programs = append(p.programs, unplaced[i])
		unplaced = slices.Concat(unplaced[:i], unplaced[i+1:])
	}
}

// use makes the program a user of a listener, which may be new: the shell gives
// one that it has bound anew a name that was not used before.
func (p *Pool) use(pr *program, name string) {
	l := p.listener(name)
	if l == nil {
		l = &listener{name: name}
		p.listeners = append(p.listeners, l)
	}
	if !slices.Contains(l.users, pr) {
		l.users = append(l.users, pr)
	}
}
