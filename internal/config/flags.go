package config

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/supervisor"
)

// check looks at the flags alone.
func (f Flags) check() error {
	if len(f.Command) == 0 {
		return f.checkWithFile()
	}
	if f.File != "" {
		return &UsageError{"--file", "cannot be combined with a COMMAND", "give one of the two"}
	}
	if f.Command[0] == "" {
		return &UsageError{"COMMAND", "is empty", "give the program to run after --"}
	}
	if f.WorkersSet && f.Workers < 0 {
		return &UsageError{"--workers", "is negative", "give a number, or 0 for one worker for each CPU"}
	}
	if f.DrainTimeout < 0 {
		return &UsageError{"--drain-timeout", "is negative", "give a positive duration, as 25s"}
	}
	if f.StopSignal != "" {
		if _, problem, remedy := parseSignal(f.StopSignal); problem != "" {
			return &UsageError{"--stop-signal", problem, remedy}
		}
	}
	return f.checkNames()
}

// checkWithFile refuses the flags that describe a COMMAND: with several
// programs in the file nobody could tell whose they are.
func (f Flags) checkWithFile() error {
	for _, flag := range []struct {
		name, key string
		set       bool
	}{
		{"--workers", "workers", f.WorkersSet},
		{"--listen", "listen", len(f.Listen) > 0},
		{"--drain-timeout", "drain_timeout", f.DrainTimeout != 0},
		{"--stop-signal", "stop_signal", f.StopSignal != ""},
	} {
		if flag.set {
			return &UsageError{flag.name, "is for a COMMAND only", "set " + flag.key + " of the program in the file, or give -- COMMAND"}
		}
	}
	return f.checkNames()
}

func (f Flags) checkNames() error {
	if f.Name != "" {
		if problem := badName(f.Name); problem != "" {
			return &UsageError{"--name", problem, "use " + sanitize(f.Name)}
		}
	}
	if f.Socket != "" {
		if err := checkSocket(f.Socket); err != nil {
			return &UsageError{"--socket", err.Error(), shorter}
		}
	}
	return nil
}

// fromFlags makes the one program that COMMAND is.
func (l *loader) fromFlags(f Flags) error {
	d := l.newDraft(sanitize(filepath.Base(f.Command[0])), place{key: "COMMAND"})
	l.drafts = []*draft{d}
	l.config.Name = d.Name
	d.Command = slices.Clone(f.Command)
	if f.WorkersSet {
		d.Workers = f.Workers
	}
	if f.DrainTimeout > 0 {
		d.DrainTimeout = f.DrainTimeout
	}
	if f.StopSignal != "" {
		d.StopSignal, _, _ = parseSignal(f.StopSignal)
	}
	for _, s := range f.Listen {
		if err := l.listenFlag(d, s); err != nil {
			return &UsageError{"--listen", err.Problem, err.Remedy}
		}
	}
	return nil
}

// listenFlag reads [NAME=]ADDRESS. A path may hold an equals sign, a name no
// slash.
func (l *loader) listenFlag(d *draft, s string) *Error {
	at := place{}
	name, address, named := strings.Cut(s, "=")
	if !named || strings.ContainsAny(name, "/:") {
		name, address = d.freeName(), s
	}
	if problem := badName(name); problem != "" {
		return at.fail("use "+sanitize(name), "%q: %s", s, problem)
	}
	a, err := sock.ParseAddress(address)
	if err != nil {
		return at.fail("give it as 127.0.0.1:8080, :8080 or /run/app.sock", "%v", err)
	}
	if err := l.listener(supervisor.Listener{Name: name, Address: a}, at); err != nil {
		return err
	}
	d.listen = append(d.listen, entry{at, name})
	return nil
}
