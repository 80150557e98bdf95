package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

// h2loadTime is how long h2load runs around each roll.
const h2loadTime = 3 * time.Second

// takeH2load shows what h2load makes of rolls: it never opens another
// connection, and so each roll has a run of its own.
func takeH2load(ctx context.Context, l *lab, p plan) (*table, error) {
	rolls := max(1, p.rolls/20)
	t := &table{
		title: fmt.Sprintf("h2load, %d rolling restarts of %d workers, one in each run", rolls, rollWorkers),
		head:  []string{"", "answered", "sent, and not answered", "of those begun by a server"},
	}
	if !have("h2load") {
		t.note("%s", missing("h2load"))
		return t, nil
	}
	for _, kind := range []struct{ name, scheme, arg string }{{"TLS", "https://", "-tls"}, {"h2c", "http://", "-h2c"}} {
		got, begun, err := l.h2load(ctx, kind.scheme, kind.arg, rolls)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.name, err)
		}
		t.add(fmt.Sprintf("%d connections of %d streams, %s", h2Clients, h2Streams, kind.name), strconv.Itoa(got.requests), strconv.Itoa(got.lost), strconv.Itoa(begun-got.requests))
	}
	t.note("What is not answered came when a worker had told its client to go. Other clients send it again on another connection, if the server has not begun with it (RFC 9113, 8.7); h2load does not, nor does it open another connection. Begun is what the handlers have counted.")
	return t, nil
}

// h2load restarts a server under h2load, and returns what that saw, and how many
// requests the server has begun.
func (l *lab) h2load(ctx context.Context, scheme, arg string, rolls int) (total load, begun int, err error) {
	server, err := l.supervised(rollWorkers, arg, "-count").start(ctx)
	if err != nil {
		return load{}, 0, err
	}
	defer server.close()
	for range rolls {
		got, err := l.h2loadRoll(ctx, server, scheme)
		if err != nil {
			return load{}, 0, fmt.Errorf("%w: %s", err, server.said())
		}
		total.requests += got.requests
		total.lost += got.lost
	}
	if err := server.end(ctx); err != nil {
		return load{}, 0, err
	}
	log, err := os.ReadFile(server.log)
	if err != nil {
		return load{}, 0, fmt.Errorf("read what workers said: %w", err)
	}
	lives := regexp.MustCompile(`begun (\d+)\n`).FindAllStringSubmatch(string(log), -1)
	if want := rollWorkers * (1 + rolls); len(lives) != want {
		return load{}, 0, fmt.Errorf("%d workers have said what they have begun, of %d", len(lives), want)
	}
	for _, m := range lives {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return load{}, 0, fmt.Errorf("read what workers said: %w", err)
		}
		begun += n
	}
	return total, begun, nil
}

// h2loadRoll is one roll in the middle of a run.
func (l *lab) h2loadRoll(ctx context.Context, server *tree, scheme string) (load, error) {
	run, err := startTool(ctx, parseH2load, "h2load", "-D", strconv.Itoa(int(h2loadTime.Seconds())),
		"-c", strconv.Itoa(h2Clients), "-m", strconv.Itoa(h2Streams), scheme+server.addr+"/")
	if err != nil {
		return load{}, err
	}
	if err := pause(ctx, h2loadTime/6); err != nil {
		return load{}, err
	}
	if _, err := l.restart(ctx, server, 1); err != nil {
		return load{}, err
	}
	select {
	case <-run.gone:
		return load{}, fmt.Errorf("h2load was over before the roll was, after %v", h2loadTime)
	default:
	}
	return run.wait()
}

// parseH2load reads a report, of which it knows this line:
//
//	requests: 2470 total, 2470 started, 2470 done, 2459 succeeded, 11 failed, 11 errored, 0 timeout
//
// Its own count of the failed is of streams that were closed, and so lacks those
// that were open when a connection ended. The difference is right only where no
// connection outlives the run, which ends with requests under way.
func parseH2load(report string) (load, error) {
	started, told := sum(report, `\nrequests: \d+ total, (\d+) started, `)
	answered, counted := sum(report, `\nrequests: .* (\d+) succeeded, `)
	perSecond, rated := number(report, `\nfinished in [^,]+, ([\d.]+) req/s`)
	if !told || !counted || !rated {
		return load{}, fmt.Errorf("h2load reports no figures: %s", report)
	}
	return load{requests: answered, lost: started - answered, perSecond: perSecond}, nil
}
