package prefork

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/supervisor"
)

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
