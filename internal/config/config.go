// Package config turns flags and lastcall.toml into what a supervisor runs,
// or into one line that says what is wrong, where, and what to do about it.
// Whatever can be known before anything is started is checked here: names,
// addresses, dependencies, and that every command is there.
package config

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/supervisor"
)

// DefaultFile is what Load reads when the flags name neither file nor command.
const DefaultFile = "lastcall.toml"

// Flags are the flags of "lastcall run" and "lastcall check", not judged yet.
// The zero value reads ./lastcall.toml.
type Flags struct {
	File         string
	Name         string
	Workers      int // of Command; 0: one for each CPU
	WorkersSet   bool
	Listen       []string // "[NAME=]ADDRESS", all passed to Command
	DrainTimeout time.Duration
	StopSignal   string
	PIDFile      string
	Log          string
	Socket       string
	Command      []string
}

// Load returns the configuration that the flags, and the file if there is one,
// ask for, with all defaults filled in. Name, Socket and PIDFile of the flags
// win over those of the file; Socket stays empty when neither names one. kinds
// are the questions that gates and readiness probes may ask; nil means
// gate.Kinds().
//
// The error is an *Error about the configuration or a *UsageError about the
// flags, one line either way. Load reads the file and looks at the file system;
// it changes, binds and starts nothing. Relative paths are the caller's
// directory's.
func Load(f Flags, kinds map[string]gate.Kind) (supervisor.Config, error) {
	if kinds == nil {
		kinds = gate.Kinds()
	}
	if err := f.check(); err != nil {
		return supervisor.Config{}, err
	}
	l := &loader{kinds: kinds, at: map[string]place{}, slots: map[string]int{}}
	fill := l.fromFile
	if len(f.Command) > 0 {
		fill = l.fromFlags
	}
	if err := fill(f); err != nil {
		return supervisor.Config{}, err
	}
	if err := l.resolve(); err != nil {
		return supervisor.Config{}, err
	}
	for _, d := range l.drafts {
		l.config.Programs = append(l.config.Programs, d.Program)
	}
	l.config.Name = cmp.Or(f.Name, l.config.Name)
	l.config.Socket = cmp.Or(f.Socket, l.config.Socket)
	l.config.PIDFile = cmp.Or(f.PIDFile, l.config.PIDFile)
	l.config.Log = cmp.Or(f.Log, l.config.Log)
	return l.config, nil
}

// A loader gathers a configuration: first what was said, then what it means.
type loader struct {
	kinds  map[string]gate.Kind
	config supervisor.Config
	drafts []*draft
	at     map[string]place // of each listener, by name
	slots  map[string]int   // how many ports a listener has that has one for each, by name
}

func (l *loader) fromFile(f Flags) error {
	path := f.File
	if path == "" {
		path = DefaultFile
	}
	data, err := readFile(path)
	if err != nil {
		return err
	}
	root, err := parse(path, data)
	if err != nil {
		return err
	}
	if abs, err := filepath.Abs(path); err == nil {
		l.config.Name = sanitize(filepath.Base(filepath.Dir(abs)))
	}
	if err := read(root, l.keys(), ofProgram); err != nil {
		return err
	}
	if len(l.drafts) == 0 {
		return place{file: path}.fail(`add a table [program.web] with command = ["./server"]`, "has no programs")
	}
	return nil
}

// keys are those at the top of the file.
func (l *loader) keys() []key {
	return []key{
		{"name", l.name},
		{"pidfile", text(&l.config.PIDFile)},
		{"socket", l.socket},
		{"log", text(&l.config.Log)},
		{"listen", l.listeners},
		{"program", l.programs},
	}
}

// ofProgram is the remedy for a key of a program at the top of the file.
func ofProgram(name string) string {
	for _, k := range (&loader{}).newDraft("", place{}).keys() {
		if k.name == name && name != "listen" {
			return "it belongs under [program.NAME]"
		}
	}
	return ""
}

// ofTop is the remedy for a key of the top in the table of a program.
func ofTop(name string) string {
	for _, k := range (&loader{}).keys() {
		if k.name == name && k.name != "listen" && k.name != "program" {
			return "it belongs at the top of the file, before the first [table]"
		}
	}
	return ""
}

func nowhereElse(string) string { return "" }

func (l *loader) name(n *node) error {
	s, err := n.string()
	if err != nil {
		return err
	}
	if problem := badName(s); problem != "" {
		return n.fail("write it as "+sanitize(s), "%s", problem)
	}
	l.config.Name = s
	return nil
}

func (l *loader) socket(n *node) error {
	s, err := n.string()
	if err != nil {
		return err
	}
	if err := checkSocket(s); err != nil {
		return n.fail(shorter, "%v", err)
	}
	l.config.Socket = s
	return nil
}

const shorter = "choose a shorter path"

// checkSocket says whether a path can be a unix socket's at all.
func checkSocket(path string) error {
	_, err := sock.ParseAddress("unix:" + path)
	return err
}

func (l *loader) programs(n *node) error {
	if err := n.is(aTable, ""); err != nil {
		return err
	}
	for _, p := range n.items {
		if problem := badName(p.name); problem != "" {
			return p.fail("rename it to "+sanitize(p.name), "%s", problem)
		}
		if err := p.is(aTable, ""); err != nil {
			return err
		}
		d := l.newDraft(p.name, p.place)
		for _, c := range p.items {
			d.at[c.name] = c.place
		}
		if err := read(p, d.keys(), ofTop); err != nil {
			return err
		}
		l.drafts = append(l.drafts, d)
	}
	return nil
}

// resolve gives what was said its meaning, program by program, and checks it.
func (l *loader) resolve() error {
	for _, d := range l.drafts {
		for _, step := range []func() error{d.surroundings, d.ports, d.commands, d.listeners, d.descriptors, d.dependencies, d.recycled, d.lame, d.stops, d.questions, d.readiness, d.families} {
			if err := step(); err != nil {
				return err
			}
		}
	}
	for _, d := range l.drafts {
		for _, step := range []func() error{d.apart, func() error { return d.balanced(runtime.GOOS) }} {
			if err := step(); err != nil {
				return err
			}
		}
	}
	return l.cycle()
}

// badName says why a name cannot be one of a program or listener, "" if it
// can. It stands in "web.2", in lists separated by colons and semicolons, and
// in file names.
func badName(s string) string {
	switch {
	case strings.Contains(s, "."):
		return `a name has no dot: "web.2" means slot 2 of web`
	case s == "" || strings.HasPrefix(s, "-") || !bare(s):
		return "a name has letters, digits, _ and - only, and no - at its beginning"
	}
	return ""
}

// sanitize makes a name of any text.
func sanitize(s string) string {
	s = strings.Map(func(r rune) rune {
		if letter(r) {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	if s = strings.Trim(s, "-"); s == "" {
		return "program"
	}
	return s
}

// inPlace returns a path as seen from dir, "" being this process's own.
func inPlace(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	joined := filepath.Join(dir, path)
	if abs, err := filepath.Abs(joined); err == nil {
		return abs
	}
	return joined
}

// environment returns a variable of the program's, else of this process.
func environment(env []string, name string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return os.Getenv(name)
}
