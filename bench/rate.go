package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	rateTarget = 0.97 // of the requests/s without the package
	rateConns  = 16
	rateWarmUp = time.Second
	rateTurns  = 2 // of each server
)

// A rate is what one server of one processor did under load.
type rate struct {
	requests int
	seconds  float64
	used     usage
}

// A usage is what a server process has used since its start.
type usage struct {
	mallocs uint64
	cpu     time.Duration
}

func (r *rate) add(o rate) {
	r.requests += o.requests
	r.seconds += o.seconds
	r.used.mallocs += o.used.mallocs
	r.used.cpu += o.used.cpu
}

func (r *rate) perSecond() float64 { return float64(r.requests) / r.seconds }

// microseconds of the processor's time for one request.
func (r *rate) microseconds() float64 {
	return float64(r.used.cpu.Nanoseconds()) / 1000 / float64(r.requests)
}

func (r *rate) mallocs() float64 { return float64(r.used.mallocs) / float64(r.requests) }

// takeRate compares a trivial handler with and without the package.
func takeRate(ctx context.Context, l *lab, p plan) (*table, error) {
	t := &table{
		title: "A trivial handler on one processor, under load",
		head:  []string{"", "requests/s", "processor time per request", "allocations per request"},
	}
	if !have("wrk") {
		t.note("%s", missing("wrk"))
		return t, nil
	}
	subjects := [2]subject{l.bare(), l.packaged()}
	var rates [2][]rate
	var ratios, costs []float64
	for range p.pairs {
		got, err := measurePair(ctx, subjects, p.load)
		if err != nil {
			return nil, err
		}
		for i, r := range got {
			rates[i] = append(rates[i], r)
		}
		ratios = append(ratios, got[1].perSecond()/got[0].perSecond())
		costs = append(costs, got[1].microseconds()-got[0].microseconds())
	}
	for i, s := range subjects {
		t.add(s.name,
			fmt.Sprintf("%.0f", medianOf(rates[i], (*rate).perSecond)),
			fmt.Sprintf("%.2f µs", medianOf(rates[i], (*rate).microseconds)),
			fmt.Sprintf("%.2f", medianOf(rates[i], (*rate).mallocs)))
	}
	ratio := median(ratios)
	t.note("GOMAXPROCS=1, `wrk -t1 -c%d`, keep-alive. %d pairs of servers, both alive and warm; each is loaded %d times for %v, in the order ABBA. Medians of the pairs.",
		rateConns, p.pairs, rateTurns, p.load)
	t.note("Median of the pairs' ratios of requests/s: %.3f, of %.3f to %.3f. Target: at least %.2f: %s. Median of the differences in processor time: %.2f µs per request.",
		ratio, slices.Min(ratios), slices.Max(ratios), rateTarget, verdict(ratio >= rateTarget), median(costs))
	return t, nil
}

// measurePair has a pair of servers, of one processor each, under load.
func measurePair(ctx context.Context, subjects [2]subject, d time.Duration) (got [2]rate, err error) {
	var servers [2]*tree
	for i, s := range subjects {
		if servers[i], err = s.start(ctx, "GOMAXPROCS=1"); err != nil {
			return got, err
		}
		defer servers[i].close()
		if _, err := measureLoad(ctx, servers[i], rateWarmUp); err != nil {
			return got, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for range rateTurns / 2 {
		// ABBA: the ups and downs of the machine are longer than a turn, and
		// so fall on both alike.
		for _, i := range []int{0, 1, 1, 0} {
			r, err := measureLoad(ctx, servers[i], d)
			if err != nil {
				return got, fmt.Errorf("%s: %w", subjects[i].name, err)
			}
			got[i].add(r)
		}
	}
	for _, s := range servers {
		if err := s.end(ctx); err != nil {
			return got, err
		}
	}
	return got, nil
}

func measureLoad(ctx context.Context, server *tree, d time.Duration) (rate, error) {
	before, err := use(server)
	if err != nil {
		return rate{}, err
	}
	w, err := startWrk(ctx, server.addr, rateConns, d)
	if err != nil {
		return rate{}, err
	}
	got, err := w.wait()
	if err != nil {
		return rate{}, err
	}
	after, err := use(server)
	switch {
	case err != nil:
		return rate{}, err
	case got.requests == 0:
		return rate{}, errors.New("no request was answered")
	case got.lost > 0:
		return rate{}, fmt.Errorf("lost %d of %d requests: %s", got.lost, got.requests, server.said())
	}
	return rate{
		requests: got.requests,
		seconds:  float64(got.requests) / got.perSecond,
		used:     usage{after.mallocs - before.mallocs, after.cpu - before.cpu},
	}, nil
}

// use asks a server what it has used.
func use(server *tree) (u usage, err error) {
	body, err := ask(server.addr, "/usage")
	if err != nil {
		return usage{}, fmt.Errorf("ask for usage: %w", err)
	}
	if _, err := fmt.Sscan(body, &u.mallocs, (*int64)(&u.cpu)); err != nil {
		return usage{}, fmt.Errorf("read usage %q: %w", body, err)
	}
	return u, nil
}
