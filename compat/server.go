package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// A server is one row of the page: how it is run, and what is expected of it.
// Its configuration and application are in the directory apps/NAME, in which
// the program web is the server, and others are what it needs.
type server struct {
	name     string
	title    string // for people
	takes    string // how it comes by its socket
	packaged string // the program that uses package lastcall; ""
	version  version
	client   client // nil: web
	owner    string // user who must own its directory, where root runs it
	search   string // pattern of directories in which its executables are, beside PATH
	npm      bool   // its package.json must be installed
	remark   string // what somebody who runs it should know, a sentence
	expected
}

// expected is what a server itself does wrong, each with the reason, which the
// page gives; "": it must not. That a run does not show a loss that may happen
// is no failure.
type expected struct {
	losesKept  string // requests on connections that are kept, on a roll
	losesEach  string // requests on connections of their own, on a roll
	losesCrash string // requests after the death of a worker
}

// A version is asked of the server itself, by a command, or of the executable
// that it was built into, by its module.
type version struct {
	command []string
	module  string
}

// versionNumber returns the numbers of its version.
func (s server) versionNumber(ctx context.Context, l *lab) (string, error) {
	command, pattern := s.version.command, `\d+(?:\.\d+)+`
	if s.version.module != "" {
		command = []string{"go", "version", "-m", filepath.Join(l.app(s.name), s.name)}
		pattern = `\s` + regexp.QuoteMeta(s.version.module) + `\s+v(\d+(?:\.\d+)+)`
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(environment(s.path()), s.env()...)
	said, err := cmd.CombinedOutput() // some say it on stderr, and some with an exit status that is not 0
	m := regexp.MustCompile(pattern).FindSubmatch(said)
	if m == nil {
		return "", fmt.Errorf("find version: run %s: %v: %s; scripts/setup compat installs what is missing", strings.Join(command, " "), err, said)
	}
	return string(m[len(m)-1]), nil
}

// path returns the directories of its executables, the last one first: that is
// the newest version, where there are several.
func (s server) path() []string {
	if s.search == "" {
		return nil
	}
	found, err := filepath.Glob(s.search)
	if err != nil || len(found) == 0 {
		return nil
	}
	return found[len(found)-1:]
}

// env is what the server's supervisor has in its environment in addition.
func (s server) env() []string {
	if !s.npm {
		return nil
	}
	return []string{"NODE_PATH=" + filepath.Join(npmDir(s.name), "node_modules")}
}

// npmDir is where the packages of a server are kept from one run to the next.
func npmDir(name string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "lastcall-compat", name)
}

// prepare installs what the server needs beside what scripts/setup installs.
func (s server) prepare(ctx context.Context, l *lab) error {
	if !s.npm {
		return nil
	}
	wanted, err := os.ReadFile(filepath.Join(l.app(s.name), "package.json"))
	if err != nil {
		return fmt.Errorf("install packages: %w", err)
	}
	dir := npmDir(s.name)
	if have, err := os.ReadFile(filepath.Join(dir, "installed.json")); err == nil && string(have) == string(wanted) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("install packages: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), wanted, 0o644); err != nil {
		return fmt.Errorf("install packages: %w", err)
	}
	npm := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock")
	npm.Dir = dir
	if _, err := output(npm); err != nil {
		return err
	}
	// Written last: it says that all the rest is there.
	return os.WriteFile(filepath.Join(dir, "installed.json"), wanted, 0o644)
}
