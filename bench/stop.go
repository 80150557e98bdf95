package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// What is aimed at.
const (
	stopTarget = 5 * time.Millisecond
	idleTarget = 50 * time.Millisecond
)

// A trial is one way to run a server, and what is timed of it.
type trial struct {
	subject
	time func(context.Context, *tree) (time.Duration, error)
}

// takeStop times what comes after the last response.
func takeStop(ctx context.Context, l *lab, p plan) (*table, error) {
	subjects := []subject{l.supervised(2), l.packaged(), l.bare()}
	if g, ok := l.gunicorn(2); ok {
		subjects = append(subjects, g)
	}
	var trials []trial
	for _, s := range subjects {
		trials = append(trials, trial{s, afterResponse})
	}
	times, err := interleave(ctx, p.runs, trials)
	if err != nil {
		return nil, err
	}
	t := stopTable("From the last byte of the last response to the end of the last process", trials, times)
	m := median(times[0])
	t.note("A request of %v is half way when SIGTERM comes. %d stops of each, taking turns.", slowTime, p.runs)
	t.note("Target for %s: a median of at most %v: %s.", trials[0].name, stopTarget, verdict(m <= stopTarget))
	return t, nil
}

// takeIdle times a stop that has nothing to wait for.
func takeIdle(ctx context.Context, l *lab, p plan) (*table, error) {
	four := l.supervised(4)
	byCommand := four
	byCommand.name += ", by `lastcall stop`"
	trials := []trial{
		{four, fromSignal},
		{byCommand, func(ctx context.Context, t *tree) (time.Duration, error) { return l.fromCommand(ctx, t) }},
		{l.packaged(), fromSignal},
		{l.bare(), fromSignal},
	}
	times, err := interleave(ctx, p.runs, trials)
	if err != nil {
		return nil, err
	}
	t := stopTable("A stop with nothing in progress, to the end of the last process", trials, times)
	m := max(median(times[0]), median(times[1]))
	t.note("From SIGTERM, or from the start of the process `lastcall stop`. %d stops of each, taking turns.", p.runs)
	t.note("Target for `lastcall run`: a median of at most %v, both ways: %s.", idleTarget, verdict(m <= idleTarget))
	return t, nil
}

func stopTable(title string, trials []trial, times [][]time.Duration) *table {
	t := &table{title: title, head: []string{"", "median", "least", "most"}}
	for i, trial := range trials {
		t.add(append([]string{trial.name}, spread(times[i])...)...)
	}
	return t
}

// interleave takes the trials in turns, there and back, so that what changes
// about the machine changes for all of them.
func interleave(ctx context.Context, runs int, trials []trial) ([][]time.Duration, error) {
	times := make([][]time.Duration, len(trials))
	order := make([]int, len(trials))
	for i := range order {
		order[i] = i
	}
	for range runs {
		for _, i := range order {
			d, err := trials[i].run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", trials[i].name, err)
			}
			times[i] = append(times[i], d)
		}
		slices.Reverse(order)
	}
	return times, nil
}

// run does it once, with a server of its own.
func (t trial) run(ctx context.Context) (time.Duration, error) {
	server, err := t.start(ctx)
	if err != nil {
		return 0, err
	}
	defer server.close()
	d, err := t.time(ctx, server)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, server.said())
	}
	return d, nil
}

// afterResponse times from the last byte of the response to the request that a
// stop waits for, as its client sees it.
func afterResponse(ctx context.Context, t *tree) (time.Duration, error) {
	e, err := watch(t.process.Pid)
	if err != nil {
		return 0, err
	}
	defer e.close()
	replies := make(chan reply, 1)
	go func() { replies <- slow(t.addr) }()
	half := time.NewTimer(slowTime / 2)
	defer half.Stop()
	select {
	case <-half.C:
	case r := <-replies:
		return 0, fmt.Errorf("the slow request ended at once: %w", r.err)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	told := time.Now()
	if err := t.terminate(); err != nil {
		return 0, err
	}
	ended, err := e.wait(ctx)
	if err != nil {
		return 0, err
	}
	r := <-replies // it has a limit, and the server is gone
	if r.err != nil {
		return 0, fmt.Errorf("the request in progress was lost: %w", r.err)
	}
	if r.last.Before(told) {
		return 0, errors.New("the response came before the signal")
	}
	return ended.Sub(r.last), nil
}

// fromSignal times from SIGTERM.
func fromSignal(ctx context.Context, t *tree) (time.Duration, error) {
	return untilEnd(ctx, t, t.terminate)
}

// fromCommand times from the start of `lastcall stop`.
func (l *lab) fromCommand(ctx context.Context, t *tree) (time.Duration, error) {
	var verdict chan error
	d, err := untilEnd(ctx, t, func() error {
		verdict = make(chan error, 1)
		go func() {
			_, err := output(exec.CommandContext(ctx, l.lastcall, "stop", "--socket", t.socket))
			verdict <- err
		}()
		return nil
	})
	return d, errors.Join(err, <-verdict)
}

// untilEnd times from just before stop is called to the end of the tree.
func untilEnd(ctx context.Context, t *tree, stop func() error) (time.Duration, error) {
	e, err := watch(t.process.Pid)
	if err != nil {
		return 0, err
	}
	defer e.close()
	told := time.Now()
	if err := stop(); err != nil {
		return 0, err
	}
	ended, err := e.wait(ctx)
	return ended.Sub(told), err
}

// A reply is what a client has seen of a response.
type reply struct {
	last time.Time // when its last byte came
	err  error     // it did not come whole
}

// slow sends the request that takes a while, on a connection that it would
// keep.
func slow(addr string) reply {
	c, err := net.DialTimeout("tcp", addr, startTimeout)
	if err != nil {
		return reply{err: err}
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(stopTimeout)); err != nil {
		return reply{err: err}
	}
	if _, err := io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return reply{err: err}
	}
	var r reply
	var all []byte
	for buf := make([]byte, 4096); r.err == nil; {
		var n int
		n, r.err = c.Read(buf)
		if n > 0 {
			r.last = time.Now()
			all = append(all, buf[:n]...)
		}
	}
	if text := string(all); strings.HasPrefix(text, "HTTP/1.1 200 ") && strings.HasSuffix(text, "\r\n\r\n"+slowBody) {
		r.err = nil // how a connection ends after its last response is another matter
	}
	return r
}
