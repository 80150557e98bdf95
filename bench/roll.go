package main

import (
	"context"
	"errors"
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
	steady load // without them, before
	load        // with them
	opened int  // connections, by anybody
	times  []time.Duration
}

// takeRoll counts what rolling restarts lose.
func takeRoll(ctx context.Context, l *lab, p plan) (*table, error) {
	t, err := l.rollTable(ctx, p, fmt.Sprintf("%d rolling restarts of %d workers, under load", p.rolls, rollWorkers), l.pressures())
	if err != nil {
		return nil, err
	}
	t.note("`lastcall restart`, one after the other without a pause. Lost is every request without a whole, good answer: refused, reset, cut off, or sent into a connection that was closed under it. A client that keeps its connections is to need no more than it has: connections opened are TcpPassiveOpens of /proc/net/snmp, whoever opened them.")
	return t, nil
}

// rollTable has a row for each kind of load that this machine can make.
func (l *lab) rollTable(ctx context.Context, p plan, title string, kinds []pressure) (*table, error) {
	t := &table{
		title: title,
		head:  []string{"", "lost", "answered", "connections opened", "median time of a roll", "p99 steady", "p99 rolling", "ratio"},
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
		row := []string{kind.name, strconv.Itoa(got.lost), strconv.Itoa(got.requests), strconv.Itoa(got.opened), millis(median(got.times))}
		if got.p99 > 0 && got.steady.p99 > 0 {
			ratio := float64(got.p99) / float64(got.steady.p99)
			worst = max(worst, ratio)
			t.add(append(row, millis(got.steady.p99), millis(got.p99), fmt.Sprintf("%.2f", ratio))...)
		} else {
			t.add(append(row, "-", "-", "-")...)
		}
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
		if r.steady, err = kind.steady(ctx, server.addr, steady); err != nil {
			return r, fmt.Errorf("steady: %w", err)
		}
	}
	before, err := opened()
	if err != nil {
		return r, err
	}
	end, err := kind.start(ctx, server.addr)
	if err != nil {
		return r, err
	}
	r.times, err = l.restart(ctx, server, n)
	var endErr error
	r.load, endErr = end()
	if err := errors.Join(err, endErr); err != nil {
		return r, fmt.Errorf("%w: %s", err, server.said())
	}
	after, err := opened()
	if err != nil {
		return r, err
	}
	r.opened = after - before
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
