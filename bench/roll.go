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
	// rollEvery is the time from the beginning of one paced roll to the next.
	rollEvery = time.Second
	// rollsLimit bounds the rolls under one kind of load.
	rollsLimit = 15 * time.Minute
)

// A rolling is what rolling restarts did under one kind of load: without a
// pause, and then in turns with none at all and with as many new processes that
// serve nobody.
type rolling struct {
	hurried measured        // one after the other without a pause
	times   []time.Duration // of those
	turns   []turn
}

// A turn is three that follow each other.
type turn struct {
	steady measured // no roll
	paced  measured // one each rollEvery
	beside measured // rollWorkers servers started and ended each rollEvery, with no clients
}

// ratio says how much longer clients wait for an answer when a server is rolled
// at a pace that leaves it time to serve.
func (t *turn) ratio() float64 { return float64(t.paced.p99) / float64(t.steady.p99) }

// floor says what of that is the start of new processes on this machine,
// whatever they are for.
func (t *turn) floor() float64 { return float64(t.beside.p99) / float64(t.steady.p99) }

// all is what was measured, in all phases.
func (r *rolling) all() (lost, answered int) {
	loads := []measured{r.hurried}
	for _, t := range r.turns {
		loads = append(loads, t.steady, t.paced, t.beside)
	}
	for _, m := range loads {
		lost, answered = lost+m.lost, answered+m.requests
	}
	return lost, answered
}

// pacedRolls is how many rolls a turn has.
func (p plan) pacedRolls() int { return max(1, int(p.turn/rollEvery)) }

// allRolls is how many rolls each kind of load has.
func (p plan) allRolls() int { return p.rolls + p.turns*p.pacedRolls() }

// A measured load is one with the connections that were opened for it, by
// anybody.
type measured struct {
	load
	opened int
}

// takeRoll counts what rolling restarts lose.
func takeRoll(ctx context.Context, l *lab, p plan) (*table, error) {
	t, err := l.rollTable(ctx, p, fmt.Sprintf("%d rolling restarts of %d workers, under load", p.allRolls(), rollWorkers), l.pressures())
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
		head:  []string{"", "lost", "answered", "opened steady", "opened rolling", "median time of a roll", "p99 steady", "p99 rolling", "ratio", "starts alone"},
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
		lost, answered := got.all()
		ratio := medianOf(got.turns, (*turn).ratio)
		worst = max(worst, ratio)
		of := func(wait func(*turn) time.Duration) string {
			return millis(time.Duration(medianOf(got.turns, func(t *turn) float64 { return float64(wait(t)) })))
		}
		t.add(kind.name, strconv.Itoa(lost), strconv.Itoa(answered), strconv.Itoa(got.turns[0].steady.opened), strconv.Itoa(got.hurried.opened), millis(median(got.times)),
			of(func(t *turn) time.Duration { return t.steady.p99 }), of(func(t *turn) time.Duration { return t.paced.p99 }), fmt.Sprintf("%.2f", ratio), fmt.Sprintf("%.2f", medianOf(got.turns, (*turn).floor)))
	}
	t.note("One server for each kind of load, and a client for each of these phases: `lastcall restart` %d times without a pause; then, taking turns, %d times %v without it, and as often %d times of it, begun one every %v, or later if the one before takes longer; and as often, at the same pace, %d other servers that are started one after the other, answer once and end. Lost and answered are of all phases, opened rolling and the time of a roll of the first.", p.rolls, p.turns, p.turn, p.pacedRolls(), rollEvery, rollWorkers)
	t.note("p99 is the 99th percentile of the time a client waits for an answer, by its own account: the median of the turns without rolls, and of those with them; in the first phase it would say how long so many new processes keep the processors. The ratio is the median of those of the turns. Target: at most %.1f: %s. Starts alone is the ratio where nothing is restarted, and a supervisor has no part: what so many new processes of Go take from the clients on this machine, whoever starts them.", rollTarget, verdict(worst <= rollTarget))
	return t, nil
}

// roll restarts a server of its own under one kind of load.
func (l *lab) roll(ctx context.Context, s subject, kind pressure, p plan) (r rolling, err error) {
	ctx, cancel := context.WithTimeout(ctx, rollsLimit)
	defer cancel()
	server, err := s.start(ctx)
	if err != nil {
		return r, err
	}
	defer server.close()
	if r.hurried, err = kind.during(ctx, server, func() (err error) { r.times, err = l.restart(ctx, server, p.rolls); return err }); err != nil {
		return r, fmt.Errorf("rolls without a pause: %w", err)
	}
	for range p.turns {
		var t turn
		if t.steady, err = kind.during(ctx, server, func() error { return pause(ctx, p.turn) }); err != nil {
			return r, fmt.Errorf("no rolls: %w", err)
		}
		restart := func() error { _, err := l.restart(ctx, server, 1); return err }
		if t.paced, err = kind.during(ctx, server, func() error { return pace(ctx, p.pacedRolls(), restart) }); err != nil {
			return r, fmt.Errorf("paced rolls: %w", err)
		}
		if t.beside, err = kind.during(ctx, server, func() error { return pace(ctx, p.pacedRolls(), func() error { return l.startBeside(ctx) }) }); err != nil {
			return r, fmt.Errorf("starts alone: %w", err)
		}
		r.turns = append(r.turns, t)
	}
	return r, server.end(ctx)
}

// startBeside starts and ends as many servers as a roll, one after the other.
func (l *lab) startBeside(ctx context.Context) error {
	for range rollWorkers {
		t, err := l.bare().start(ctx)
		if err != nil {
			return err
		}
		if err := t.end(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pace does something n times, and takes rollEvery for each; one that takes
// longer is followed by the next at once.
func pace(ctx context.Context, n int, do func() error) error {
	next := time.NewTicker(rollEvery)
	defer next.Stop()
	for range n {
		if err := do(); err != nil {
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
