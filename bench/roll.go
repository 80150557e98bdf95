package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

const (
	rollWorkers = 4
	rollTarget  = 1.5 // times the steady 99th percentile
	// rollsLimit bounds the rolls under one kind of load.
	rollsLimit = 15 * time.Minute
)

// A rolling is what rolling restarts did under one kind of load.
type rolling struct {
	steady measured // without them, before
	measured
	times []time.Duration
}

// A measured load is one with the connections that were opened for it, by
// anybody.
type measured struct {
	load
	opened int
}

// takeRoll counts what rolling restarts lose.
func takeRoll(ctx context.Context, l *lab, p plan) (*table, error) {
	t, err := l.rollTable(ctx, p, fmt.Sprintf("%d rolling restarts of %d workers, under load", p.rolls, rollWorkers), l.pressures())
	if err != nil {
		return nil, err
	}
	t.note("`lastcall restart`, one after the other without a pause. Lost is every request without a whole, good answer: refused, reset, cut off, or sent into a connection that was closed under it.")
	t.note("Opened are TCP connections, by TcpPassiveOpens of /proc/net/snmp: by a client that keeps them as many without rolls as with them, however long it goes on; wrk makes one more to see who is there.")
	return t, nil
}

// rollTable has a row for each kind of load that this machine can make.
func (l *lab) rollTable(ctx context.Context, p plan, title string, kinds []pressure) (*table, error) {
	t := &table{
		title: title,
		head:  []string{"", "lost", "answered", "opened steady", "opened rolling", "median time of a roll", "p99 steady", "p99 rolling", "ratio"},
	}
	absent := map[string]bool{}
	worst := 0.0
	for _, kind := range kinds {
		if kind.needs != "" && !have(kind.needs) {
			if !absent[kind.needs] {
				t.note("%s", missing(kind.needs))
			}
			absent[kind.needs] = true
			continue
		}
		got, err := l.roll(ctx, l.supervised(rollWorkers, kind.serve...), kind, p.steady, p.rolls)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.name, err)
		}
		ratio := float64(got.p99) / float64(got.steady.p99)
		worst = max(worst, ratio)
		t.add(kind.name, strconv.Itoa(got.lost), strconv.Itoa(got.requests), strconv.Itoa(got.steady.opened), strconv.Itoa(got.opened),
			millis(median(got.times)), millis(got.steady.p99), millis(got.p99), fmt.Sprintf("%.2f", ratio))
	}
	t.note("p99 is the 99th percentile of the time a client waits for an answer, by its own account: of the same client and server without rolls, for %v before, and during them. Target for the ratio: at most %.1f: %s.", p.steady, rollTarget, verdict(worst <= rollTarget))
	return t, nil
}

// roll restarts a server of its own n times under one kind of load.
func (l *lab) roll(ctx context.Context, s subject, kind pressure, steady time.Duration, n int) (r rolling, err error) {
	ctx, cancel := context.WithTimeout(ctx, rollsLimit)
	defer cancel()
	server, err := s.start(ctx)
	if err != nil {
		return r, err
	}
	defer server.close()
	if steady > 0 {
		r.steady, err = kind.during(ctx, server, func() error { return pause(ctx, steady) })
		if err != nil {
			return r, fmt.Errorf("steady: %w", err)
		}
	}
	r.measured, err = kind.during(ctx, server, func() error {
		r.times, err = l.restart(ctx, server, n)
		return err
	})
	if err != nil {
		return r, err
	}
	return r, server.end(ctx)
}

// restart has a server restarted n times and returns how long each took.
func (l *lab) restart(ctx context.Context, server *tree, n int) (times []time.Duration, err error) {
	for range n {
		took, err := timed(func() error {
			_, err := output(exec.CommandContext(ctx, l.lastcall, "restart", "--socket", server.socket))
			return err
		})
		if err != nil {
			return times, err
		}
		times = append(times, took)
	}
	return times, nil
}
