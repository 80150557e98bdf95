package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/supervisor"
)

const anAddress = `an address is "127.0.0.1:8080", ":8080" or "/run/app.sock"`

// listeners reads the table [listen].
func (l *loader) listeners(n *node) error {
	if err := n.is(aTable, ""); err != nil {
		return err
	}
	for _, c := range n.items {
		if problem := badName(c.name); problem != "" {
			return c.fail("rename it to "+sanitize(c.name), "%s", problem)
		}
		said := listenerTable{listener: supervisor.Listener{Name: c.name}, address: c.place}
		var err error
		if c.kind == aTable {
			err = said.table(c)
		} else {
			err = said.readAddress(c)
		}
		if err != nil {
			return err
		}
		if err := l.listener(said.listener, said.address); err != nil {
			return err
		}
	}
	return nil
}

// A listenerTable is one entry of [listen] while it is read.
type listenerTable struct {
	listener    supervisor.Listener
	address     place
	mode, mptcp place // where they were said; no key: not at all
}

func (t *listenerTable) keys() []key {
	return []key{
		{"address", t.readAddress},
		{"mode", func(n *node) error { t.mode = n.place; return fileMode(&t.listener.Mode)(n) }},
		{"mptcp", func(n *node) error { t.mptcp = n.place; return boolean(&t.listener.MPTCP)(n) }},
	}
}

func (t *listenerTable) readAddress(n *node) error {
	s, err := n.string()
	if err != nil {
		return err
	}
	t.address = n.place
	if strings.Contains(s, thePort) {
		return n.fail(`write listen = ["127.0.0.1:{port}"] in the program that has port_base`, "{port} is a program's, not everybody's")
	}
	if t.listener.Address, err = sock.ParseAddress(s); err != nil {
		return n.fail(anAddress, "%v", err)
	}
	return nil
}

func (t *listenerTable) table(n *node) error {
	if err := read(n, t.keys(), nowhereElse); err != nil {
		return err
	}
	unix := t.listener.Address.Network == "unix"
	switch {
	case t.listener.Address == sock.Address{}:
		return n.fail(`add address = "127.0.0.1:8080"`, "has no address")
	case !unix && t.mode.key != "":
		return t.mode.fail("leave it out", "only a unix socket has a mode, not %s", t.listener.Address)
	case unix && t.mptcp.key != "":
		return t.mptcp.fail("leave it out", "only a TCP socket can use MPTCP, not %s", t.listener.Address)
	}
	return nil
}

// listener adds a listener whose name and address are not taken yet.
func (l *loader) listener(new supervisor.Listener, at place) *Error {
	if _, taken := l.at[new.Name]; taken {
		return at.fail("rename one of the two", "listener %q is there twice", new.Name)
	}
	for _, old := range l.config.Listeners {
		address, meet := l.span(old).meets(l.span(new))
		if !meet {
			continue
		}
		if old.Each || new.Each {
			return at.fail("choose another port_base, or another address", "%s is listener %q already", address, old.Name)
		}
		remedy, is := fmt.Sprintf("use that one by its name, %q", old.Name), "is"
		if old.Address != new.Address {
			remedy, is = remedy+", or choose another address", fmt.Sprintf("overlaps %s, which is", old.Address)
		}
		return at.fail(remedy, "%s %s listener %q already", new.Address, is, old.Name)
	}
	l.at[new.Name] = at
	if new.Where = at.position(); new.Where == "" {
		new.Where = "--listen"
	}
	l.config.Listeners = append(l.config.Listeners, new)
	return nil
}

// listeners finds what a program's listen means: a text with a colon or slash
// is an address and makes a listener for this program, any other is the name
// of one.
func (d *draft) listeners() error {
	for _, e := range d.listen {
		name := e.text
		if strings.ContainsAny(e.text, ":/") {
			l, err := d.address(e)
			if err != nil {
				return err
			}
			name = d.freeName()
			if l.Name = name; l.Each {
				d.all.slots[name] = d.Workers
			}
			if err := d.all.listener(l, e.place); err != nil {
				return err
			}
		} else if _, ok := d.all.at[name]; !ok {
			remedy := fmt.Sprintf("define it under [listen]; %s", anAddress)
			if near := nearest(name, slices.Sorted(maps.Keys(d.all.at))); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			}
			return e.fail(remedy, "no listener %q", name)
		}
		d.Listen = append(d.Listen, name)
	}
	return nil
}

// address makes a listener without a name of an address.
func (d *draft) address(e entry) (supervisor.Listener, error) {
	if strings.Contains(e.text, thePort) {
		return d.ownListener(e)
	}
	address, err := sock.ParseAddress(e.text)
	if err != nil {
		return supervisor.Listener{}, e.fail(anAddress, "%v", err)
	}
	return supervisor.Listener{Address: address}, nil
}

// descriptors checks that each {fd:NAME} is of a listener the program is given:
// any other would reach it as it stands.
func (d *draft) descriptors() error {
	for _, word := range d.Command {
		if err := d.checkDescriptors(word, d.where("command")); err != nil {
			return err
		}
	}
	for _, variable := range d.Env {
		name, value, _ := strings.Cut(variable, "=")
		if err := d.checkDescriptors(value, d.where("env."+name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) checkDescriptors(text string, at place) error {
	for _, part := range strings.Split(text, "{fd:")[1:] {
		name, _, closed := strings.Cut(part, "}")
		if !closed || badName(name) != "" || slices.Contains(d.Listen, name) {
			continue
		}
		remedy := fmt.Sprintf("add %q to its listen", name)
		if at.file == "" {
			remedy = fmt.Sprintf("give --listen %s=ADDRESS", name)
		}
		if near := nearest(name, d.Listen); near != "" {
			remedy = fmt.Sprintf("did you mean {fd:%s}?", near)
		}
		return at.fail(remedy, "{fd:%s} is no listener of this program", name)
	}
	return nil
}

// freeName returns the program's own name for a listener that has none, with a
// number if that is taken: "web", "web-2".
func (d *draft) freeName() string {
	name := d.Name
	for i := 2; ; i++ {
		if _, taken := d.all.at[name]; !taken {
			return name
		}
		name = fmt.Sprintf("%s-%d", d.Name, i)
	}
}
