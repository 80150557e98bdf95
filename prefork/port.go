package prefork

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lastcall/lastcall/internal/sock"
)

// thePort ends an address at which each worker has a port of its own.
const thePort = ":{port}"

// ports checks that there is one for each worker, and an address to be it at.
func (c Config) ports(workers int) error {
	fail := func(problem string) error { return &ConfigError{"PortBase", problem} }
	switch last := c.PortBase + workers - 1; {
	case c.PortBase == 0:
		return nil
	case c.PortBase < 0 || last > sock.MaxPort:
		return fail(fmt.Sprintf("%d is the first of %d ports, and they go from 1 to %d", c.PortBase, workers, sock.MaxPort))
	case c.Slots:
		return fail("is for a port that each worker has alone, and Slots for one that all have: take one of the two")
	case !slices.ContainsFunc(c.Listen, func(l string) bool { return strings.HasSuffix(l, thePort) }):
		return fail(`is of no use without an address in Listen that says it: "127.0.0.1` + thePort + `"`)
	}
	return nil
}

// parseAddress also reads one that ends with thePort: then it is slot 0's.
func parseAddress(text string, portBase int) (a sock.Address, each bool, err error) {
	host, each := strings.CutSuffix(text, thePort)
	if each && portBase == 0 {
		return a, false, fmt.Errorf("%q: {port} is there, and no PortBase that says which", text)
	}
	if each {
		text = host + ":" + strconv.Itoa(portBase)
	}
	if a, err = sock.ParseAddress(text); err == nil && each && a.Network == "unix" {
		err = fmt.Errorf("%q: {port} stands for the port of a TCP address", text)
	}
	return a, each, err
}
