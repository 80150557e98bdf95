package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/config"
	"github.com/lastcall/lastcall/internal/control"
)

// Exit codes that are not verdicts; docs/command.md has them all.
const (
	exitFailure = 1
	exitUsage   = 2
	exitConfig  = 78 // EX_CONFIG of sysexits(3): a restart will not help
)

// A cli is one invocation of the command.
type cli struct {
	stdout, stderr io.Writer
	socket         string // --socket
	started        bool   // a verb has been reached: errors are its own
	flush          func() // writes what is left of a stderr that is queued
}

// run carries out one command line and returns the exit code. What it has to
// say about an error it has said, in one line where the verb did not say more.
func run(args []string, stdout, stderr io.Writer) int {
	c := &cli{stdout: stdout, stderr: stderr, flush: func() {}}
	root := c.root()
	root.SetArgs(args)
	verb, err := root.ExecuteContextC(context.Background())
	if err != nil && !c.started {
		err = c.misuse(verb, args, err)
	}
	code := c.report(err)
	c.flush()
	return code
}

// queueStderr has stderr written from a queue from here on, the last error
// included. Only a supervisor does: a client may wait for who reads it.
func (c *cli) queueStderr(format string) {
	w := newLogWriter(c.stderr, logger(format, c.stderr))
	c.stderr, c.flush = w, w.close
}

// An exit is an error with its exit code. One without an error was reported.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// misuse makes a usage error of what cobra says about a command line.
func (c *cli) misuse(verb *cobra.Command, args []string, err error) error {
	if !verb.HasParent() && len(args) > 0 {
		if near := verb.SuggestionsFor(args[0]); len(near) > 0 {
			err = fmt.Errorf("%w; did you mean %q?", err, near[0])
		}
	}
	return usage(verb, err)
}

func usage(verb *cobra.Command, err error) error {
	return &exit{exitUsage, fmt.Errorf("%w; see \"%s --help\"", err, verb.CommandPath())}
}

// report prints an error and returns the exit code that it stands for.
func (c *cli) report(err error) int {
	var known *exit
	if err == nil {
		return control.Done
	}
	if errors.As(err, &known) && known.err == nil {
		return known.code
	}
	fmt.Fprintf(c.stderr, "lastcall: %v\n", err)
	var badConfig *config.Error
	var badUsage *config.UsageError
	var unknown *control.UnknownTarget
	switch {
	case known != nil:
		return known.code
	case errors.As(err, &badConfig):
		return exitConfig
	case errors.As(err, &badUsage):
		return exitUsage
	case errors.Is(err, control.ErrNotRunning):
		return control.NotRunning
	case errors.As(err, &unknown):
		return control.NoSuch
	}
	return exitFailure
}

// client finds the supervisor that is meant.
func (c *cli) client() (*control.Client, error) {
	if c.socket != "" {
		return control.Dial(c.socket), nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find supervisor: %w", err)
	}
	path, err := control.Find(dir)
	if err != nil {
		return nil, err
	}
	return control.Dial(path), nil
}
