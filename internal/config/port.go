package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/supervisor"
)

// thePort stands for the port that is a worker's own.
const thePort = "{port}"

const aPortBase = "add port_base = 8000, slot 0's port; the next slot's is one higher"

// portBase reads slot 0's own port.
func (d *draft) portBase(n *node) error {
	if err := n.is(aNumber, "8000"); err != nil {
		return err
	}
	err := count(&d.PortBase, "")(n)
	if err == nil && (d.PortBase < 1 || d.PortBase > sock.MaxPort) {
		return n.fail("write one, as port_base = 8000", "a port is a number from 1 to %d, not %d", sock.MaxPort, d.PortBase)
	}
	return err
}

// ports checks that each slot can have its port, and that {port} stands only
// where there is one. It knows the number of workers, and comes before the
// listeners.
func (d *draft) ports() error {
	if d.PortBase == 0 {
		return d.portless()
	}
	if last := d.PortBase + d.Workers - 1; last > sock.MaxPort {
		return d.where("port_base").fail(fmt.Sprintf("choose one up to %d, or have fewer workers", sock.MaxPort-d.Workers+1),
			"slot %d would have port %d, and the highest is %d", d.Workers-1, last, sock.MaxPort)
	}
	if d.inherits() {
		return nil
	}
	// It binds the port by itself, which two lives of a slot cannot.
	if d.MaxSurge > 0 && d.at["max_surge"] != (place{}) {
		return d.where("max_surge").fail(`write 0, or have lastcall bind the ports: listen = ["127.0.0.1:{port}"]`,
			"must be 0: the workers bind their ports themselves, and old and new one cannot both")
	}
	d.MaxSurge = 0
	return nil
}

// inherits tells whether the workers are given the sockets at their own ports.
func (d *draft) inherits() bool {
	return slices.ContainsFunc(d.listen, func(e entry) bool { return strings.Contains(e.text, thePort) })
}

// portless refuses {port} where it would reach the program as it stands.
func (d *draft) portless() error {
	remedy := aPortBase
	if d.file == "" {
		remedy = "only a program in a file has a port for each worker: " + aPortBase
	}
	found := func(at place) error {
		return at.fail(remedy, "{port} is there, and no port_base that says which")
	}
	for _, e := range d.listen {
		if strings.Contains(e.text, thePort) {
			return found(e.place)
		}
	}
	if strings.Contains(strings.Join(d.Command, " "), thePort) {
		return found(d.where("command"))
	}
	if strings.Contains(strings.Join(d.StopCommand, " "), thePort) {
		return found(d.where("stop_command"))
	}
	for _, variable := range d.Env {
		if name, value, _ := strings.Cut(variable, "="); strings.Contains(value, thePort) {
			return found(d.where("env." + name))
		}
	}
	questions := d.gates
	if d.ready != nil {
		questions = append([]question{*d.ready}, questions...)
	}
	for _, q := range questions {
		if asksPort(q.spec) {
			return found(q.at)
		}
	}
	return nil
}

func asksPort(s gate.Spec) bool {
	texts := append([]string{s.Target}, s.Args...)
	for _, value := range s.Keys {
		texts = append(texts, value)
	}
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, thePort) })
}

// ownListener makes the listener of an address that has {port} for its port.
func (d *draft) ownListener(e entry) (supervisor.Listener, error) {
	const remedy = `write it as "127.0.0.1:{port}"`
	host, ok := strings.CutSuffix(e.text, ":"+thePort)
	if !ok || strings.Contains(host, thePort) {
		return supervisor.Listener{}, e.fail(remedy, "%q: {port} stands for the port of a TCP address, and nowhere else", e.text)
	}
	address, err := sock.ParseAddress(host + ":" + strconv.Itoa(d.PortBase))
	if err != nil {
		return supervisor.Listener{}, e.fail(remedy, "%v", err)
	}
	if address.Network == "unix" {
		return supervisor.Listener{}, e.fail(remedy, "%q: {port} stands for the port of a TCP address, and nowhere else", e.text)
	}
	return supervisor.Listener{Address: address, Each: true}, nil
}

// A span is the addresses of a listener: one, or one for each slot.
type span struct {
	first sock.Address
	n     int
}

// meets returns the first address of b that a cannot have besides, if there is
// one.
func (a span) meets(b span) (sock.Address, bool) {
	if a.n == 1 && b.n == 1 {
		return b.first, overlap(a.first, b.first)
	}
	port := max(a.port(), b.port())
	if port >= min(a.port()+a.n, b.port()+b.n) {
		return sock.Address{}, false
	}
	x, y := a.at(port), b.at(port)
	return y, overlap(x, y)
}

// port returns the number of the first, 0 for none.
func (a span) port() int {
	_, port, _ := net.SplitHostPort(a.first.Address)
	n, _ := strconv.Atoi(portNumber(port))
	return n
}

// at returns the address with a port.
func (a span) at(port int) sock.Address {
	if address, err := a.first.Port(port - a.port()); err == nil {
		return address
	}
	return a.first // its port has a name, and there is no other
}

// span returns what a listener takes.
func (l *loader) span(of supervisor.Listener) span {
	return span{of.Address, max(1, l.slots[of.Name])}
}

// apart refuses ports that workers bind themselves where something else is: a
// listener, or another program's. At which address they bind is not known.
func (d *draft) apart() error {
	if d.PortBase == 0 || d.inherits() {
		return nil
	}
	mine := span{sock.Address{Network: "tcp", Address: ":" + strconv.Itoa(d.PortBase)}, d.Workers}
	at, remedy := d.where("port_base"), "choose another port_base"
	for _, l := range d.all.config.Listeners {
		if address, meet := d.all.span(l).meets(mine); meet {
			return at.fail(remedy, "the workers' port %s is that of listener %q", strings.TrimPrefix(address.Address, ":"), l.Name)
		}
	}
	for _, other := range d.all.drafts {
		if other == d {
			return nil // each pair once, and said of the later
		}
		if other.PortBase > 0 && other.PortBase < d.PortBase+d.Workers && d.PortBase < other.PortBase+other.Workers {
			return at.fail(remedy, "the workers of %s have port %d too", other.Name, max(d.PortBase, other.PortBase))
		}
	}
	return nil
}

// checkOwn refuses a probe of a worker's own port to which somebody else could
// answer: the kernel, which accepts for whoever is to come, and during a roll
// that begins with the new worker the old one.
func (d *draft) checkOwn(q *question, l supervisor.Listener) error {
	if q.spec.Kind != "http" && q.spec.Kind != "tcp" {
		return nil
	}
	asked := q.spec.Expand(d.standIns()).Target
	for slot := range d.Workers {
		address, err := l.Address.Port(slot)
		if err != nil || !reaches(asked, address.Network, address.Address) {
			continue
		}
		const remedy = "let the worker say that it is ready, or use exec"
		shown := gate.WithoutSecrets(q.spec.Target)
		switch {
		case q.spec.Kind == "tcp":
			return q.at.fail(remedy, "%s is bound by lastcall: nobody needs to be there for a connection to be accepted", shown)
		case !strings.Contains(q.spec.Target, thePort):
			return q.at.fail("write {port} for the port", "%s is the port of one worker, and all would ask there", shown)
		case d.MaxSurge > 0:
			return q.at.fail(remedy+", or set max_surge = 0", "%s is answered by the old worker during a roll, while the new one starts", shown)
		}
	}
	return nil
}
