package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

const (
	rollWorkers = 4
	wrkConns    = 64
	postClients = 32
	// rollsLimit bounds the rolls under one kind of load.
	rollsLimit = 15 * time.Minute
)

// A pressure is a kind of load: it starts and returns how to end it, and to
// learn what the clients saw.
type pressure struct {
	name  string
	start func(ctx context.Context, addr string) (end func() (load, error), err error)
}

func pressures() []pressure {
	list := []pressure{{
		fmt.Sprintf("Go client, %d connections, POSTs with pauses of 0-300 µs, never sent twice", postClients),
		func(ctx context.Context, addr string) (func() (load, error), error) {
			ctx, cancel := context.WithCancel(ctx)
			done := make(chan load, 1)
			go func() { done <- post(ctx, addr, postClients) }()
			return func() (load, error) { cancel(); return <-done, nil }, nil
		},
	}}
	if haveWrk() {
		list = append([]pressure{
			{fmt.Sprintf("wrk, %d connections, keep-alive", wrkConns), wrkUntil()},
			{fmt.Sprintf("wrk, %d connections, `Connection: close`", wrkConns), wrkUntil("Connection: close")},
		}, list...)
	}
	return list
}

func wrkUntil(headers ...string) func(context.Context, string) (func() (load, error), error) {
	return func(ctx context.Context, addr string) (func() (load, error), error) {
		w, err := startWrk(ctx, addr, wrkConns, rollsLimit, headers...)
		if err != nil {
			return nil, err
		}
		return func() (load, error) {
			stopErr := w.stop()
			got, err := w.wait()
			return got, errors.Join(stopErr, err)
		}, nil
	}
}

// takeRoll counts what rolling restarts lose.
func takeRoll(ctx context.Context, l *lab, p plan) (*table, error) {
	t := &table{
		title: fmt.Sprintf("%d rolling restarts of %d workers, under load", p.rolls, rollWorkers),
		head:  []string{"", "lost", "lost per roll", "answered", "median time of a roll"},
	}
	for _, kind := range pressures() {
		got, times, err := l.rolls(ctx, kind, p.rolls)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.name, err)
		}
		t.add(kind.name, fmt.Sprint(got.lost), fmt.Sprintf("%.2f", float64(got.lost)/float64(p.rolls)),
			fmt.Sprint(got.requests), millis(median(times)))
	}
	if !haveWrk() {
		t.note(wrkMissing)
	}
	t.note("`lastcall restart`, one after the other without a pause. Lost is every request without a whole, good answer: refused, reset, cut off, or sent into a connection that was closed under it.")
	return t, nil
}

// rolls restarts a server of its own n times under one kind of load.
func (l *lab) rolls(ctx context.Context, kind pressure, n int) (load, []time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, rollsLimit)
	defer cancel()
	server, err := l.supervised(rollWorkers).start(ctx)
	if err != nil {
		return load{}, nil, err
	}
	defer server.close()
	end, err := kind.start(ctx, server.addr)
	if err != nil {
		return load{}, nil, err
	}
	var times []time.Duration
	for range n {
		began := time.Now()
		if _, err = output(exec.CommandContext(ctx, l.lastcall, "restart", "--socket", server.socket)); err != nil {
			break
		}
		times = append(times, time.Since(began))
	}
	got, endErr := end()
	if err := errors.Join(err, endErr); err != nil {
		return load{}, nil, fmt.Errorf("%w: %s", err, server.said())
	}
	return got, times, server.end(ctx)
}
