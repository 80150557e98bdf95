package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	balanceWorkers = 8
	balanceConns   = 64
	balanceTarget  = 1.5 // the most a worker has done, over the least
	clockTick      = 10 * time.Millisecond
)

// balanced starts a supervisor of workers that come by their connections one
// way or the other.
func (l *lab) balanced(ctx context.Context, how string) (*tree, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(l.dir, fmt.Sprintf("balance-%d.toml", l.started))
	text := fmt.Sprintf("[program.web]\ncommand = [%q, %q]\nworkers = %d\nlisten = %q\nbalance = %q\nenv = { GOMAXPROCS = \"1\" }\n",
		l.server, serveRole, balanceWorkers, addr, how)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	socket := filepath.Join(l.dir, strconv.Itoa(l.started)+".sock")
	args := []string{l.lastcall, "run", "-f", file, "--socket", socket}
	t, err := l.start(ctx, 1+balanceWorkers, nil, args, addr, func(ctx context.Context) bool { return l.running(ctx, socket) })
	if err == nil {
		t.socket = socket
	}
	return t, err
}

// takeBalance compares how much of the work each worker does.
func takeBalance(ctx context.Context, l *lab, p plan) (*table, error) {
	t := &table{
		title: fmt.Sprintf("%d workers, one request per connection: the processor time of each", balanceWorkers),
		head:  []string{"", "least", "most", "most/least", "requests/s"},
	}
	if !have("wrk") {
		t.note("%s", missing("wrk"))
		return t, nil
	}
	d := max(p.load*10, 10*time.Second)
	var ratio float64
	for _, how := range []string{"shared", "slots"} {
		used, got, err := l.balance(ctx, how, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", how, err)
		}
		least, most := slices.Min(used), slices.Max(used)
		ratio = float64(most) / float64(max(least, clockTick))
		t.add(fmt.Sprintf("`balance = %q`", how), millis(least), millis(most), fmt.Sprintf("%.1f", ratio), fmt.Sprintf("%.0f", got.perSecond))
	}
	t.note("GOMAXPROCS=1 for each worker, `wrk -t1 -c%d` with `Connection: close` for %v, a new supervisor for each. User and system time from /proc/PID/stat.", balanceConns, d)
	t.note("Target for slots: at most %.1f: %s.", balanceTarget, verdict(ratio <= balanceTarget))
	return t, nil
}

// balance returns the processor time that each worker has used for a load.
func (l *lab) balance(ctx context.Context, how string, d time.Duration) (used []time.Duration, got load, err error) {
	server, err := l.balanced(ctx, how)
	if err != nil {
		return nil, got, err
	}
	defer server.close()
	workers := workersOf(server.process.Pid, link(server.process.Pid))
	if len(workers) != balanceWorkers {
		return nil, got, fmt.Errorf("%d workers: %s", len(workers), server.said())
	}
	for _, pid := range workers {
		before, err := processorTime(pid)
		if err != nil {
			return nil, got, err
		}
		used = append(used, -before)
	}
	w, err := startWrk(ctx, server.addr, balanceConns, d, "Connection: close")
	if err == nil {
		got, err = w.wait()
	}
	if err != nil {
		return nil, got, err
	}
	if got.lost > 0 {
		return nil, got, fmt.Errorf("lost %d of %d requests: %s", got.lost, got.requests, server.said())
	}
	for i, pid := range workers {
		after, err := processorTime(pid)
		if err != nil {
			return nil, got, err
		}
		used[i] += after
	}
	return used, got, server.end(ctx)
}

// processorTime is what a process has used, user and system, as the kernel
// counts it: in ticks.
func processorTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // after the name, which may hold anything
	f := strings.Fields(rest)
	const utime, stime = 11, 12 // from the state on
	if len(f) <= stime {
		return 0, fmt.Errorf("read processor time of %d: %q", pid, b)
	}
	user, err := strconv.Atoi(f[utime])
	if err != nil {
		return 0, fmt.Errorf("read processor time of %d: %w", pid, err)
	}
	system, err := strconv.Atoi(f[stime])
	if err != nil {
		return 0, fmt.Errorf("read processor time of %d: %w", pid, err)
	}
	return time.Duration(user+system) * clockTick, nil
}
