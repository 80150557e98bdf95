package config

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lastcall/lastcall/internal/supervisor"
)

// Warnings returns, one line each, what is allowed and yet seldom meant: a
// listener nobody serves, a command that starts the server as a child.
func Warnings(c supervisor.Config) []string { return warnings(c, host{}) }

// Unbudgeted returns also a stop that may take longer than what runs this process
// usually gives it, for whom nobody has said what it gives. It looks at the
// environment of this process for who that is.
func Unbudgeted(c supervisor.Config) []string {
	return warnings(c, parent(os.LookupEnv, os.Stat))
}

// A host is what runs a supervisor, and how long it waits by default from
// asking it to stop to killing it.
type host struct {
	name    string
	gives   time.Duration
	setting string // where to give it more, with the seconds to be filled in
}

// parent finds out by what this process is run; the zero host is unknown.
func parent(lookup func(string) (string, bool), stat func(string) (fs.FileInfo, error)) host {
	if _, ok := lookup("KUBERNETES_SERVICE_HOST"); ok {
		return host{"Kubernetes", 30 * time.Second, "terminationGracePeriodSeconds: %d"}
	}
	if _, ok := lookup("SUPERVISOR_ENABLED"); ok {
		return host{"supervisord", 10 * time.Second, "stopwaitsecs=%d"}
	}
	if _, err := stat("/.dockerenv"); err == nil {
		return host{"docker", 10 * time.Second, "--stop-timeout %d"}
	}
	return host{}
}

func warnings(c supervisor.Config, h host) []string {
	out := Wrappers(c)
	served := map[string]bool{}
	for _, p := range c.Programs {
		for _, name := range p.Listen {
			served[name] = true
		}
	}
	for _, l := range c.Listeners {
		if !served[l.Name] {
			out = append(out, fmt.Sprintf(
				"listen.%s: no program serves it: clients of %s would connect and never be answered; add it to a program's listen, or remove it", l.Name, l.Address))
		}
	}
	if budget, chain := longestStop(c.Programs); h.name != "" && budget >= h.gives {
		chain := chain.String()
		seconds := int((budget + 5*time.Second).Seconds())
		out = append(out, fmt.Sprintf(
			"a stop may take %v (%s), and %s kills after %v unless told otherwise; set %s, or a shorter drain_timeout",
			budget, chain, h.name, h.gives, fmt.Sprintf(h.setting, seconds)))
	}
	return out
}

// longestStop returns how long a stop takes at the most, and which programs
// one after the other take it: a helper is not asked to stop before its users
// have ended.
func longestStop(programs []supervisor.Program) (time.Duration, chain) {
	byName := map[string]supervisor.Program{}
	for _, p := range programs {
		byName[p.Name] = p
	}
	type stop struct {
		takes time.Duration
		chain chain
	}
	done := map[string]stop{}
	var visit func(name string) stop
	visit = func(name string) stop {
		if s, ok := done[name]; ok {
			return s
		}
		p := byName[name]
		takes := p.LameDuck + longestDrain(p)
		if len(p.StopCommand) > 0 || p.CloseSignal != 0 {
			takes += p.StopTimeout
		}
		var after stop
		for _, helper := range p.DependsOn {
			if s := visit(helper); s.takes > after.takes {
				after = s
			}
		}
		s := stop{takes + after.takes, slices.Concat(chain{{p, takes}}, after.chain)}
		done[name] = s
		return s
	}
	var longest stop
	for _, p := range programs {
		if s := visit(p.Name); s.takes > longest.takes {
			longest = s
		}
	}
	return longest.takes, longest.chain
}

// A chain is programs that stop one after the other, and how long each may take.
type chain []link

type link struct {
	program supervisor.Program
	takes   time.Duration
}

func (c chain) String() string {
	out := make([]string, len(c))
	for i, l := range c {
		out[i] = fmt.Sprintf("%s %v", l.program.Name, l.takes)
	}
	return strings.Join(out, ", then ")
}
