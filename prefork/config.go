package prefork

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/supervisor"
)

// A plan is a Config in the supervisor's terms.
type plan struct {
	config  supervisor.Config
	options supervisor.Options
}

// newPlan checks a Config and fills in its defaults.
func newPlan(c Config) (*plan, error) {
	p := &plan{
		options: supervisor.Options{
			Logger: cmp.Or(c.Logger, slog.Default()), Stdout: c.Stdout, Stderr: c.Stderr,
			Kinds: gate.Kinds(), LeaveSignals: c.LeaveSignals, Version: "(prefork)",
		},
	}
	if p.options.Stdout == nil {
		p.options.Stdout = os.Stdout
	}
	if p.options.Stderr == nil {
		p.options.Stderr = os.Stderr
	}
	name, err := c.name()
	if err != nil {
		return nil, err
	}
	p.config = supervisor.Config{Name: name, Socket: c.Socket}
	// The helpers first: the order is that of the start, for people.
	for i, h := range c.Helpers {
		if err := p.helper(fmt.Sprintf("Helpers[%d]", i), name, h); err != nil {
			return nil, err
		}
	}
	if err := p.order(); err != nil {
		return nil, err
	}
	return p, p.workers(name, c)
}

// name is that of the workers, and of the whole.
func (c Config) name() (string, error) {
	if c.Name != "" {
		return c.Name, checkName("Name", c.Name)
	}
	name := strings.Map(func(r rune) rune {
		if !isNameRune(r) {
			return '-'
		}
		return r
	}, filepath.Base(os.Args[0]))
	return cmp.Or(strings.Trim(name, "-"), "worker"), nil
}

// checkName: a name stands in "web.2", in lists and in environment variables.
func checkName(field, name string) error {
	if name == "" || name[0] == '-' || strings.ContainsFunc(name, func(r rune) bool { return !isNameRune(r) }) {
		return &ConfigError{field, fmt.Sprintf("%q is no name: it has letters, digits, _ and -, and does not begin with -", name)}
	}
	return nil
}

func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

// base is what all programs have in common.
func base(name string) supervisor.Program {
	return supervisor.Program{
		Name: name, Workers: 1, MinUptime: time.Second, ReadyTimeout: time.Minute,
		StopSignal: syscall.SIGTERM, StopTimeout: 10 * time.Second, DrainTimeout: 25 * time.Second,
		MaxRestarts: 10, RestartWindow: time.Minute, MaxSurge: 1,
	}
}

// A span is a duration of the caller's, and where it goes unless it is 0.
type span struct {
	field string
	value time.Duration
	to    *time.Duration
}

func setSpans(prefix string, spans []span) error {
	for _, s := range spans {
		if s.value < 0 {
			return &ConfigError{prefix + s.field, fmt.Sprintf("%v is negative; 0 is the default, %v", s.value, *s.to)}
		}
		*s.to = cmp.Or(s.value, *s.to)
	}
	return nil
}

// workers adds the program itself, which comes after all helpers.
func (p *plan) workers(name string, c Config) error {
	w := base(name)
	switch {
	case c.Workers < 0:
		return &ConfigError{"Workers", fmt.Sprintf("%d is negative; 0 is one for each CPU", c.Workers)}
	case c.Workers == 0:
		w.Workers = runtime.GOMAXPROCS(0) // knows the CPU affinity and, on Linux, the cgroup's limit
	default:
		w.Workers = c.Workers
	}
	err := setSpans("", []span{
		{"ReadyTimeout", c.ReadyTimeout, &w.ReadyTimeout},
		{"DrainTimeout", c.DrainTimeout, &w.DrainTimeout},
		{"RestartWindow", c.RestartWindow, &w.RestartWindow},
	})
	if err != nil {
		return err
	}
	if c.MaxRestarts != 0 {
		w.MaxRestarts = max(0, c.MaxRestarts)
	}
	if err := c.ports(w.Workers); err != nil {
		return err
	}
	w.PortBase = c.PortBase
	for i, text := range c.Listen {
		if err := p.listen(fmt.Sprintf("Listen[%d]", i), &w, text); err != nil {
			return err
		}
	}
	if c.Slots {
		w.Balance = supervisor.Slots
		if err := p.slots(w); err != nil {
			return err
		}
	}
	for _, helper := range p.config.Programs {
		w.DependsOn = append(w.DependsOn, helper.Name)
	}
	if w.Path, err = executable(); err != nil {
		return fmt.Errorf("find own executable: %w", err)
	}
	w.Command, w.Verbatim = os.Args, true
	w.Env = []string{childVariable + "=1"}
	p.config.Programs = append(p.config.Programs, w)
	return nil
}

// slots checks that each listener can have a socket for each slot.
func (p *plan) slots(w supervisor.Program) error {
	if runtime.GOOS != "linux" {
		return &ConfigError{"Slots", "is there on Linux only, not on " + runtime.GOOS}
	}
	for _, l := range p.config.Listeners {
		if slices.Contains(w.Listen, l.Name) && l.Address.Network == "unix" {
			return &ConfigError{"Slots", fmt.Sprintf("is for TCP, and %s is not", l.Address)}
		}
	}
	return nil
}

// executable is this very program: on Linux also after its file has been
// replaced, so that parent and workers are always of one build.
func executable() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// listen reads [NAME=]ADDRESS. A path may hold an equals sign, a name no slash.
func (p *plan) listen(field string, w *supervisor.Program, text string) error {
	name, address, named := strings.Cut(text, "=")
	if !named || strings.ContainsAny(name, "/:") {
		name, address = w.Name, text
		for i := 2; slices.Contains(w.Listen, name); i++ {
			name = fmt.Sprintf("%s-%d", w.Name, i)
		}
	}
	if err := checkName(field, name); err != nil {
		return err
	}
	if slices.Contains(w.Listen, name) {
		return &ConfigError{field, fmt.Sprintf("the name %q is there twice", name)}
	}
	a, each, err := parseAddress(address, w.PortBase)
	if err != nil {
		return &ConfigError{field, err.Error()}
	}
	w.Listen = append(w.Listen, name)
	p.config.Listeners = append(p.config.Listeners, supervisor.Listener{Name: name, Address: a, Each: each, Where: field})
	return nil
}
