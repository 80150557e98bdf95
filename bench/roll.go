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
	// rollEvery is the time from one paced roll to the next.
	rollEvery = time.Second
	// rollsLimit bounds the rolls under one kind of load.
	rollsLimit = 15 * time.Minute
)

// A rolling is what rolling restarts did under one kind of load, in three phases
// that have one server and a client each.
type rolling struct {
	hurried measured        // one after the other without a pause
	times   []time.Duration // of those
	steady  measured        // none
	paced   measured        // one each rollEvery
}

// lost and answered are of all phases.
func (r *rolling) lost() int     { return r.hurried.lost + r.steady.lost + r.paced.lost }
func (r *rolling) answered() int { return r.hurried.requests + r.steady.requests + r.paced.requests }

// ratio says how much longer clients wait for an answer when a server is rolled
// at a pace that leaves it time to serve.
func (r *rolling) ratio() float64 { return float64(r.paced.p99) / float64(r.steady.p99) }

// A measured load is one with the connections that were opened for it, by
// anybody.
type measured struct {
	load
	opened int
}

// takeRoll counts what rolling restarts lose.
func takeRoll(ctx context.Context, l *lab, p plan) (*table, error) {
	t, err := l.rollTable(ctx, p, fmt.Sprintf("%d rolling restarts of %d workers, under load", p.rolls+p.paced, rollWorkers), l.pressures())
	if err != nil {
		return nil, err
	}
	t.note("Lost is every request without a whole, good answer: refused, reset, cut off, or sent into a connection that was closed under it.")
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
		got, err := l.roll(ctx, l.supervised(rollWorkers, kind.serve...), kind, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.name, err)
		}
		worst = max(worst, got.ratio())
		t.add(kind.name, strconv.Itoa(got.lost()), strconv.Itoa(got.answered()), strconv.Itoa(got.steady.opened), strconv.Itoa(got.hurried.opened),
			millis(median(got.times)), millis(got.steady.p99), millis(got.paced.p99), fmt.Sprintf("%.2f", got.ratio()))
	}
	t.note("Three phases, with one server and a client each: `lastcall restart` %d times without a pause; %v without it; and %d times, begun one every %v, or later if the one before takes longer. Lost and answered are of all three, opened rolling and the time of a roll of the first.", p.rolls, p.steady, p.paced, rollEvery)
	t.note("p99 is the 99th percentile of the time a client waits for an answer, by its own account: steady in the second phase, rolling in the third. In the first it would say how long so many new processes keep the processors. Target for the ratio: at most %.1f: %s.", rollTarget, verdict(worst <= rollTarget))
	return t, nil
}

// roll restarts a server of its own under one kind of load. A phase of which the
// plan has nothing is left out.
func (l *lab) roll(ctx context.Context, s subject, kind pressure, p plan) (r rolling, err error) {
	ctx, cancel := context.WithTimeout(ctx, rollsLimit)
	defer cancel()
	server, err := s.start(ctx)
	if err != nil {
		return r, err
	}
	defer server.close()
	for _, phase := range []struct {
		name string
		of   bool
		got  *measured
		do   func() error
	}{
		{"rolls without a pause", p.rolls > 0, &r.hurried, func() (err error) { r.times, err = l.restart(ctx, server, p.rolls); return err }},
		{"steady", p.steady > 0, &r.steady, func() error { return pause(ctx, p.steady) }},
		{"paced rolls", p.paced > 0, &r.paced, func() error { return l.pace(ctx, server, p.paced) }},
	} {
		if !phase.of {
			continue
		}
		if *phase.got, err = kind.during(ctx, server, phase.do); err != nil {
			return r, fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return r, server.end(ctx)
}

// pace has a server restarted n times, and takes rollEvery for each; one that
// takes longer is followed by the next at once.
func (l *lab) pace(ctx context.Context, server *tree, n int) error {
	next := time.NewTicker(rollEvery)
	defer next.Stop()
	for range n {
		if _, err := l.restart(ctx, server, 1); err != nil {
			return err
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
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
