package config

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"

	"github.com/lastcall/lastcall/internal/supervisor"
	"github.com/lastcall/lastcall/internal/wire"
)

// maxFD is the highest descriptor that can be asked for: by default a process may
// have 1024, and its start needs a few above those of the program.
const maxFD = 1000

// readyKey reads what tells that a worker is ready: a word for a sign, a table
// with one that has a value, or a question.
func (d *draft) readyKey(n *node) error {
	if n.kind == aString {
		return choice(&d.ReadyBy.Sign, supervisor.SaysReady, supervisor.Accepts, supervisor.StaysUp)(n)
	}
	if n.kind == aTable {
		for _, sign := range signs() {
			if n.get(sign) != nil {
				return d.sign(n)
			}
		}
	}
	q, err := d.question(n, false)
	d.ready = &q
	return err
}

// signs are the keys of those tables that ask nothing.
func signs() []string { return names((&draft{}).signKeys()) }

func (d *draft) signKeys() []key {
	by := &d.ReadyBy
	return []key{
		{string(supervisor.LineMatch), func(n *node) error { by.Sign = supervisor.LineMatch; return text(&by.Line)(n) }},
		{string(supervisor.FirstBreak), func(n *node) error { by.Sign = supervisor.FirstBreak; return count(&by.FD, "")(n) }},
	}
}

func (d *draft) sign(n *node) error {
	var ways []string
	for _, c := range n.items {
		if _, asks := d.all.kinds[c.name]; asks || slices.Contains(signs(), c.name) {
			ways = append(ways, c.name)
		}
	}
	if len(ways) > 1 {
		return n.fail("keep one of the two", "waits for two things, %s and %s", ways[0], ways[1])
	}
	return read(n, d.signKeys(), func(name string) string {
		if name == "every" || name == "timeout" {
			return "take it out: nothing is asked, it is waited for up to ready_timeout"
		}
		return ""
	})
}

// readiness checks that the sign can come at all.
func (d *draft) readiness() error {
	at, by := d.where("ready"), d.ReadyBy
	switch by.Sign {
	case supervisor.Accepts:
		return d.seen(runtime.GOOS)
	case supervisor.StaysUp:
		if d.MinUptime >= d.ReadyTimeout {
			return at.fail("make ready_timeout longer than min_uptime", "can never be: min_uptime is %v, and ready_timeout %v", d.MinUptime, d.ReadyTimeout)
		}
	case supervisor.LineMatch:
		if _, err := regexp.Compile(d.standIns().Replace(by.Line)); err != nil {
			return at.fail(`correct it, or put \Q before what is meant as it stands`, "%v", err)
		}
	case supervisor.FirstBreak:
		lowest := wire.FirstFD + len(d.Listen)
		switch {
		case by.FD < wire.FirstFD:
			return at.fail(fmt.Sprintf("write %d, and let the program write there", lowest), "descriptor %d is stdin, stdout or stderr", by.FD)
		case by.FD < lowest:
			return at.fail(fmt.Sprintf("write %d or a higher one", lowest), "descriptor %d is listener %q", by.FD, d.Listen[by.FD-wire.FirstFD])
		case by.FD > maxFD:
			return at.fail(fmt.Sprintf("write one from %d to %d", lowest, maxFD), "descriptor %d is too high", by.FD)
		}
	}
	return nil
}

// seen checks that it can be seen whether the program accepts.
func (d *draft) seen(system string) error {
	at := d.where("ready")
	switch {
	case system != "linux":
		return at.fail(`let it say READY=1, and write "notify"`, `"accepting" can be seen on Linux only, not on %s`, system)
	case len(d.Listen) == 0:
		return at.fail(`add listen, or write "notify" or "uptime"`, `"accepting" is about listeners, and it has none`)
	}
	return nil
}

// families checks the names of listen_env.
func (d *draft) families() error {
	var known []string
	for _, f := range wire.Families() {
		known = append(known, string(f))
	}
	for _, e := range d.listenEnv {
		if !slices.Contains(known, e.text) {
			return e.fail(did(e.text, known), "cannot be %q", e.text)
		}
		d.ListenEnv = append(d.ListenEnv, wire.Family(e.text))
	}
	if len(d.ListenEnv) > 0 && len(d.Listen) == 0 {
		return d.where("listen_env").fail("add listen, or take it out", "is about listeners, and it has none")
	}
	return nil
}
