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
// it was and what it will be counts too, and what each of its lives was started
// with: as long as it has lives of the one, or may still get some of the other,
// nothing is taken from under them. It panics if a dependency is unknown, which
// the configuration has ruled out.
func (p *Pool) relate() {
	for _, pr := range p.programs {
		pr.needs, pr.ahead = nil, nil
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
			p.precede(pr, c.DependsOn)
		}
		for _, s := range pr.slots {
			for _, l := range s.lives {
				if l.state != LifeStuck {
					p.precede(pr, l.needs)
				}
			}
		}
	}
	p.sort()
	for i, pr := range p.programs {
		pr.dependants = nil
		for _, d := range p.programs[i+1:] {
			if slices.Contains(d.ahead, pr) {
				pr.dependants = append(pr.dependants, d)
			}
		}
	}
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

// precede puts what is there of the names ahead of the program.
func (p *Pool) precede(pr *program, names []string) {
	for _, name := range names {
		if need := p.program(name); need != nil && !slices.Contains(pr.ahead, need) {
			pr.ahead = append(pr.ahead, need)
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

// sort keeps the order of the configuration, as far as dependencies let it. A
// reload may turn one round, and then the old form of the one program needs the
// new form of the other. No order does justice to both: what a program was, or
// will be, gives way to what it is, and if that is not enough, what the
// configuration does not say any more to what it says. Waiting for each other
// would be no way out: the final stop would not end.
func (p *Pool) sort() {
	unplaced := p.programs
	p.programs = nil
	needs := func(pr *program) []*program { return pr.needs }
	ahead := func(pr *program) []*program { return pr.ahead }
	missing := func(pr *program) bool { return !slices.Contains(p.programs, pr) }
	nextIs := []func(pr *program) bool{ // the one of which the first is true that is true of any
		func(pr *program) bool { return !slices.ContainsFunc(pr.ahead, missing) },
		func(pr *program) bool { return !slices.ContainsFunc(pr.needs, missing) && pr.circles(ahead) },
		func(pr *program) bool { return pr.outdated() && pr.circles(needs) },
		func(pr *program) bool { return pr.circles(needs) },
	}
	for len(unplaced) > 0 {
		i := -1
		for n := 0; i < 0; n++ {
			i = slices.IndexFunc(unplaced, nextIs[n])
		}
		pr := unplaced[i]
		pr.needs, pr.ahead = slices.DeleteFunc(pr.needs, missing), slices.DeleteFunc(pr.ahead, missing)
		p.programs = append(p.programs, pr)
		unplaced = slices.Concat(unplaced[:i], unplaced[i+1:])
	}
}

// outdated tells whether the program is not what the configuration says.
func (pr *program) outdated() bool { return pr.next != nil || pr.behind || pr.removed }

// circles tells whether what the program follows, directly or not, leads back to
// it.
func (pr *program) circles(follows func(*program) []*program) bool {
	seen := slices.Clone(follows(pr))
	for i := 0; i < len(seen); i++ { // it grows
		for _, next := range follows(seen[i]) {
			if !slices.Contains(seen, next) {
				seen = append(seen, next)
			}
		}
	}
	return slices.Contains(seen, pr)
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
