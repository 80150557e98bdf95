package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A program is siege in one of the languages it is written in. The zero value
// is the one in Go.
type program struct {
	python bool
}

// eachProgram plays a scenario with every one of them.
func eachProgram(t *testing.T, scenario func(t *testing.T, in program)) {
	t.Run("go", func(t *testing.T) { scenario(t, program{}) })
	t.Run("python", func(t *testing.T) { scenario(t, program{python: true}) })
}

// ways returns the ways to protect a job that a program has, in the scenarios
// with a deadline for all of them. The one in Python has no gate of its own: a
// worker that is told to drain by a signal is asked for its gate before that,
// and so never knows when to enter its locks for the gate. It needs none: locks
// are operations.
func (p program) ways() []string {
	if p.python {
		return []string{wayClass, waySection}
	}
	return []string{wayClass, waySection, wayGate}
}

// gate is a line for scenarios with locks that are nobody's.
const gate = "\n" + `gate = [{ redis = "redis://127.0.0.1:4740", sorted_set = "locks:{worker}", every = "1s" }]`

// configure returns the program's lastcall.toml, made ready to be run anywhere
// else.
func (p program) configure(t *testing.T, c setup) string {
	t.Helper()
	if !p.python {
		return configuration
	}
	folder, err := filepath.Abs("../tornado")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "lastcall.toml"))
	if err != nil {
		t.Fatal(err)
	}
	const python = "/usr/bin/python3"
	if out, err := exec.Command(python, "-c", "import tornado, redis.asyncio").CombinedOutput(); err != nil {
		t.Fatalf("%s has no Tornado or no redis-py; scripts/setup installs them: %v\n%s", python, err, out)
	}
	return strings.NewReplacer(
		`"siege.py"`, fmt.Sprintf("%q%s", filepath.Join(folder, "siege.py"), arguments(t, c.keys)),
		`"../../clients/python"`, fmt.Sprintf(`%q, PYTHONDONTWRITEBYTECODE = "1"`, filepath.Join(folder, "../../clients/python")),
		"workers = 4", "workers = 4"+gate,
	).Replace(string(text))
}

// arguments makes those of the worker of what lastcall.toml tells workers in Go.
func arguments(t *testing.T, keys string) string {
	t.Helper()
	out := ""
	for _, m := range regexp.MustCompile(`(fresh_grace|expendable_grace|stall_timeout) = "(\w+)"`).FindAllStringSubmatch(keys, -1) {
		d, err := time.ParseDuration(m[2])
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf(`, "--%s", "%v"`, strings.ReplaceAll(m[1], "_", "-"), d.Seconds())
	}
	return out
}
