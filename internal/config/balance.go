package config

import (
	"slices"

	"github.com/lastcall/lastcall/internal/supervisor"
)

// balanced checks that every listener of a program with balance = "slots" can
// have a socket for each slot: the kernel steers newcomers on plain TCP only,
// and between the workers of one program, since another's would not be ready
// and gone at the same time.
func (d *draft) balanced(system string) error {
	if d.Balance != supervisor.Slots {
		return nil
	}
	at := d.where("balance")
	const remedy = `write "shared"`
	switch {
	case system != "linux":
		return at.fail(remedy, `"slots" is there on Linux only, not on %s`, system)
	case len(d.Listen) == 0:
		return at.fail("add listen, or take it out", `"slots" is about listeners, and it has none`)
	}
	for _, l := range d.all.config.Listeners {
		if !slices.Contains(d.Listen, l.Name) {
			continue
		}
		switch {
		case l.Each:
			return at.fail("take it out", "each slot has a port of its own already, and clients choose")
		case l.Address.Network == "unix":
			return at.fail(remedy, `"slots" is for TCP, and %s is not`, l.Address)
		case l.MPTCP:
			return at.fail(remedy+", or take mptcp out", `"slots" is for plain TCP, and listener %q has mptcp`, l.Name)
		}
		for _, other := range d.all.drafts {
			if other != d && slices.Contains(other.Listen, l.Name) {
				return at.fail("give each a listener of its own, or "+remedy, `with "slots" no other program can share listener %q, and %s does`, l.Name, other.Name)
			}
		}
	}
	return nil
}
