package prefork

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/sock"
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
			Kinds: gate.Kinds(), LeaveSignals: c.LeaveSignals,
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
	for i, text := range c.Listen {
		if err := p.listen(fmt.Sprintf("Listen[%d]", i), &w, text); err != nil {
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
	a, err := sock.ParseAddress(address)
	if err != nil {
		return &ConfigError{field, err.Error()}
	}
	w.Listen = append(w.Listen, name)
	p.config.Listeners = append(p.config.Listeners, supervisor.Listener{Name: name, Address: a, Where: field})
	return nil
}

// helper adds one helper.
func (p *plan) helper(field, workers string, h Helper) error {
	if err := checkName(field+".Name", h.Name); err != nil {
		return err
	}
	if h.Name == workers || p.program(h.Name) != nil {
		return &ConfigError{field + ".Name", fmt.Sprintf("%q is there twice; the workers are %q", h.Name, workers)}
	}
	out := base(h.Name)
	out.Env, out.Dir, out.DependsOn = h.Env, h.Dir, h.DependsOn
	out.StopSignal = cmp.Or(h.StopSignal, out.StopSignal)
	err := setSpans(field+".", []span{
		{"ReadyTimeout", h.ReadyTimeout, &out.ReadyTimeout},
		{"StopTimeout", h.StopTimeout, &out.StopTimeout},
		{"KillTimeout", h.KillTimeout, &out.DrainTimeout},
	})
	if err != nil {
		return err
	}
	if out.Path, err = find(field+".Command", h.Command, h.Dir); err != nil {
		return err
	}
	out.Command = h.Command
	if len(h.StopCommand) > 0 {
		path, err := find(field+".StopCommand", h.StopCommand, h.Dir)
		if err != nil {
			return err
		}
		out.StopCommand = slices.Concat([]string{path}, h.StopCommand[1:])
	}
	if out.Ready, err = p.probe(field+".Ready", h); err != nil {
		return err
	}
	p.config.Programs = append(p.config.Programs, out)
	return nil
}

func (p *plan) program(name string) *supervisor.Program {
	for i := range p.config.Programs {
		if p.config.Programs[i].Name == name {
			return &p.config.Programs[i]
		}
	}
	return nil
}

// find returns the absolute path of a command, as its program would find it.
func find(field string, command []string, dir string) (string, error) {
	if len(command) == 0 || command[0] == "" {
		return "", &ConfigError{field, `is empty; write it as {"redis-server", "--port", "4740"}`}
	}
	name := command[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		abs, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("find %s: %w", name, err)
		}
		name = abs
	}
	path, err := exec.LookPath(name)
	if e, ok := errors.AsType[*exec.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if err != nil {
		return "", &ConfigError{field, fmt.Sprintf("%q: %v", command[0], err)}
	}
	return filepath.Abs(path)
}

// probe makes a question of the one field that is set, nil of none.
func (p *plan) probe(field string, h Helper) (*gate.Spec, error) {
	r := h.Ready
	kinds := []gate.Spec{
		{Kind: "http", Target: r.HTTP}, {Kind: "tcp", Target: r.TCP}, {Kind: "file", Target: r.File},
		{Kind: "exec", Target: strings.Join(r.Exec, " "), Args: slices.Clone(r.Exec)},
	}
	if r.Func != nil {
		k := funcKind(h.Name, r.Func)
		p.options.Kinds[k.Name] = k
		kinds = append(kinds, gate.Spec{Kind: k.Name, Target: h.Name})
	}
	kinds = slices.DeleteFunc(kinds, func(s gate.Spec) bool { return s.Target == "" })
	switch {
	case len(kinds) > 1:
		return nil, &ConfigError{field, "asks more than one question; keep one"}
	case r.Every < 0 || r.Timeout < 0:
		return nil, &ConfigError{field, "has a negative duration; 0 is the default"}
	case len(kinds) == 0 && (r.Every > 0 || r.Timeout > 0):
		return nil, &ConfigError{field, "asks no question; set one of HTTP, TCP, File, Exec and Func"}
	case len(kinds) == 0:
		return nil, nil
	}
	spec := kinds[0]
	spec.Every, spec.Timeout = r.Every, r.Timeout
	if len(spec.Args) > 0 {
		path, err := find(field+".Exec", spec.Args, h.Dir)
		if err != nil {
			return nil, err
		}
		spec.Args[0] = path
	}
	if check := p.options.Kinds[spec.Kind].Check; check != nil {
		name := strings.NewReplacer("{worker}", h.Name+".0", "{program}", h.Name, "{slot}", "0")
		if err := check(spec.Expand(name)); err != nil {
			return nil, &ConfigError{field, err.Error()}
		}
	}
	return &spec, nil
}

// funcKind makes a kind of probe of a function of the program.
func funcKind(name string, ask func(context.Context) error) gate.Kind {
	return gate.Kind{
		Name: "func " + name, Probe: true,
		Open: func(gate.Spec) (gate.Question, error) { return funcQuestion(ask), nil },
	}
}

type funcQuestion func(context.Context) error

// Ask implements gate.Question.
func (f funcQuestion) Ask(ctx context.Context) (string, error) { return "", f(ctx) }

// Close implements gate.Question.
func (funcQuestion) Close() error { return nil }

// order checks that the helpers can be started one after the other: that none
// depends on one that is not there, or, by a detour, on itself.
func (p *plan) order() error {
	started := make(map[string]bool)
	for {
		before := len(started)
		for _, h := range p.config.Programs {
			if !slices.ContainsFunc(h.DependsOn, func(need string) bool { return !started[need] }) {
				started[h.Name] = true
			}
		}
		if len(started) == before {
			break
		}
	}
	for i, h := range p.config.Programs {
		field := fmt.Sprintf("Helpers[%d].DependsOn", i)
		for _, need := range h.DependsOn {
			if p.program(need) == nil {
				return &ConfigError{field, fmt.Sprintf("there is no helper %q", need)}
			}
		}
		if !started[h.Name] {
			return &ConfigError{field, fmt.Sprintf("%q waits for itself, or for helpers that do", h.Name)}
		}
	}
	return nil
}
