package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"sync"
	"testing"
)

// programs are the commands of the scenarios, built once by the first test
// that needs them, with the race detector if the test has it.
type programs struct {
	mu  sync.Mutex
	dir string
	err error
}

var built programs

// path returns where a command is.
func (p *programs) path(t *testing.T, name string) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dir == "" && p.err == nil {
		p.dir, p.err = buildPrograms()
	}
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.dir + "/" + name
}

// remove is for TestMain, when no test runs any more.
func (p *programs) remove() error { return os.RemoveAll(p.dir) }

func buildPrograms() (string, error) {
	dir, err := os.MkdirTemp("", "siege-test-")
	if err != nil {
		return "", err
	}
	// One is a module of its own.
	for from, what := range map[string][]string{"../..": {"./cmd/lastcall"}, "..": {"./siege", "./hello"}} {
		args := []string{"build", "-o", dir + "/"}
		if hasRaceDetector() {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, what...)...)
		cmd.Dir = from
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("build %s: %w\n%s", what, err, out)
		}
	}
	return dir, nil
}

func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}
