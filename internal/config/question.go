package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lastcall/lastcall/internal/gate"
)

// A question is one gate or probe and where it was said.
type question struct {
	place
	spec gate.Spec
	kind gate.Kind
	at   place // of the kind's own key
}

// gateKey reads one table or an array of them.
func (d *draft) gateKey(n *node) error {
	tables := []*node{n}
	if n.kind == anArray {
		tables = n.items
	}
	for _, t := range tables {
		q, err := d.question(t, true)
		if err != nil {
			return err
		}
		d.gates = append(d.gates, q)
	}
	return nil
}

// question reads one table. The one key that names a kind says which other
// keys there can be.
func (d *draft) question(n *node, isGate bool) (question, error) {
	q := question{place: n.place, spec: gate.Spec{Gate: isGate}}
	example, several := `{ tcp = "127.0.0.1:6379" }`, "keep one of the two"
	if isGate {
		example, several = `{ file = "/run/app/busy" }`, "write a table for each"
	} else {
		example += `, or "notify", "accepting" or "uptime"`
	}
	if n.kind != aTable {
		return q, n.fail("write it as "+example, "must be a table, not %s", n.kind)
	}
	kinds := d.all.kinds
	var usable []string
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if k := kinds[name]; isGate && k.Gate || !isGate && k.Probe {
			usable = append(usable, name)
		}
	}
	if !isGate {
		usable = append(usable, signs()...)
	}
	for _, c := range n.items {
		k, ok := kinds[c.name]
		switch {
		case !ok:
			continue
		case !slices.Contains(usable, c.name):
			return q, c.fail("use one of "+strings.Join(usable, ", "), "cannot be asked here: it does not tell whether anything is still in progress")
		case q.spec.Kind != "":
			return q, n.fail(several, "asks two questions, %s and %s", q.spec.Kind, c.name)
		}
		q.kind, q.spec.Kind, q.at = k, c.name, c.place
	}
	if q.spec.Kind == "" {
		for _, c := range n.items {
			if c.name != "every" && c.name != "timeout" {
				return q, n.unknown(c, did(c.name, append(usable, "every", "timeout")))
			}
		}
		return q, n.fail("add one of "+strings.Join(usable, ", "), "asks nothing")
	}
	return q, read(n, q.keys(), nowhereElse)
}

// keys are those of a table that asks a question of a known kind.
func (q *question) keys() []key {
	s := &q.spec
	target := text(&s.Target)
	if s.Kind == "exec" {
		target = func(n *node) error {
			err := command(&s.Args)(n)
			s.Target = strings.Join(s.Args, " ")
			return err
		}
	}
	keys := []key{
		{s.Kind, target},
		{"every", duration(&s.Every, "leave it out for the default")},
		{"timeout", duration(&s.Timeout, "leave it out for 2s")},
	}
	for _, name := range q.kind.Keys {
		keys = append(keys, key{name, func(n *node) error {
			value, err := n.string()
			if s.Keys == nil {
				s.Keys = map[string]string{}
			}
			s.Keys[name] = value
			return err
		}})
	}
	return keys
}

// questions checks what the program's gates and probe ask, and keeps them.
func (d *draft) questions() error {
	if d.ready != nil {
		if err := d.checkQuestion(d.ready); err != nil {
			return err
		}
		if err := d.checkShared(d.ready); err != nil {
			return err
		}
		d.Ready = &d.ready.spec
	}
	for i := range d.gates {
		q := &d.gates[i]
		if err := d.checkQuestion(q); err != nil {
			return err
		}
		d.Gates = append(d.Gates, q.spec)
	}
	return nil
}

// checkQuestion finds the command or file a question names, as the program
// would, and lets its kind judge it with stand-ins for what differs by worker.
func (d *draft) checkQuestion(q *question) error {
	s := &q.spec
	if s.Kind == "file" {
		s.Target = inPlace(d.Dir, s.Target)
	}
	if len(s.Args) > 0 {
		path, err := d.find(s.Args[0], q.at)
		if err != nil {
			return err
		}
		s.Args[0] = path
	}
	if err := q.kind.Check(s.Expand(d.standIns())); err != nil {
		return q.at.fail("", "%v", err)
	}
	return nil
}

func (d *draft) standIns() *strings.Replacer {
	pairs := []string{"{worker}", d.Name + ".0", "{slot}", "0", "{program}", d.Name, "{workers}", "1", "{generation}", "1"}
	if d.PortBase > 0 {
		pairs = append(pairs, thePort, strconv.Itoa(d.PortBase))
	}
	return strings.NewReplacer(pairs...)
}

// checkShared refuses a probe on a listener that the program's workers share.
// The socket belongs to the supervisor: it accepts connections as soon as
// anybody, or nobody yet, serves it.
func (d *draft) checkShared(q *question) error {
	asked := q.spec.Expand(d.standIns()).Target
	for _, l := range d.all.config.Listeners {
		if !slices.Contains(d.Listen, l.Name) {
			continue
		}
		if l.Each {
			if err := d.checkOwn(q, l); err != nil {
				return err
			}
			continue
		}
		for _, kind := range []string{"http", "tcp"} {
			if q.spec.Kind == kind && reaches(asked, l.Address.Network, l.Address.Address) {
				return q.at.fail("let the worker say that it is ready, or use exec",
					"%s is listener %q, which all workers share: a sibling, or nobody, would answer it", gate.WithoutSecrets(asked), l.Name)
			}
		}
	}
	return nil
}
