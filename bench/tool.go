package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// A load is what clients have seen.
type load struct {
	requests  int // answered
	lost      int // no answer, not a whole one, or not a good one
	perSecond float64
	p99       time.Duration // of the answered; 0: the client does not tell
}

// A tool is a run of a load generator.
type tool struct {
	cmd   *exec.Cmd
	out   bytes.Buffer
	gone  chan struct{} // closed when it has ended, with err
	err   error
	parse func(report string) (load, error)
}

// have reports whether a load generator is installed.
func have(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// missing is what stands for a figure that needs what is not installed.
func missing(name string) string { return name + " is not installed: not measured." }

// startTool starts a load generator, whose report parse can read.
func startTool(ctx context.Context, parse func(string) (load, error), name string, args ...string) (*tool, error) {
	t := &tool{cmd: exec.CommandContext(ctx, name, args...), gone: make(chan struct{}), parse: parse}
	t.cmd.Stdout, t.cmd.Stderr = &t.out, &t.out
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // SIGINT would have it report, not end
	if err := t.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(t.gone)
		t.err = t.cmd.Wait()
	}()
	return t, nil
}

// wait returns what it reports when its time is over.
func (t *tool) wait() (load, error) {
	<-t.gone
	if t.err != nil {
		return load{}, fmt.Errorf("run %s: %w: %s", t.cmd.Path, t.err, t.out.String())
	}
	return t.parse(t.out.String())
}

// end interrupts it and returns what it reports. That it has ended by itself is
// an error: what came after it was done under no load.
func (t *tool) end() (load, error) {
	select {
	case <-t.gone:
		return load{}, fmt.Errorf("%s has ended early: %s", t.cmd.Path, t.out.String())
	default:
	}
	if err := t.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return load{}, fmt.Errorf("interrupt %s: %w", t.cmd.Path, err)
	}
	<-t.gone // with a status that says no more than that it was interrupted
	return t.parse(t.out.String())
}

// sum adds the numbers that the groups of a pattern match in a report.
func sum(report, pattern string) (total int, found bool) {
	m := regexp.MustCompile(pattern).FindStringSubmatch(report)
	if m == nil {
		return 0, false
	}
	for _, digits := range m[1:] {
		n, err := strconv.Atoi(digits)
		if err != nil {
			return 0, false
		}
		total += n
	}
	return total, true
}

// number returns the decimal that the group of a pattern matches in a report.
func number(report, pattern string) (n float64, found bool) {
	m := regexp.MustCompile(pattern).FindStringSubmatch(report)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	return n, err == nil
}
