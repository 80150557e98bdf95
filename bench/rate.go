package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	rateTarget = 0.97 // of the requests/s without the package
	rateConns  = 16
	rateWarmUp = time.Second
)

// A rate is what one server of one processor did under load.
type rate struct {
	perSecond float64
	mallocs   float64 // per request
}

// takeRate compares a trivial handler with and without the package.
func takeRate(ctx context.Context, l *lab, p plan) (*table, error) {
	t := &table{title: "A trivial handler on one processor, under load", head: []string{"", "requests/s", "allocations per request"}}
	if !haveWrk() {
		t.note(wrkMissing)
		return t, nil
	}
	subjects := []subject{l.bare(), l.packaged()}
	var perSecond, mallocs [2][]float64
	var ratios []float64
	for pair := range p.pairs {
		var got [2]rate
		for turn := range 2 {
			which := (pair + turn) % 2 // ABBA
			r, err := measureRate(ctx, subjects[which], p.load)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", subjects[which].name, err)
			}
			got[which] = r
			perSecond[which] = append(perSecond[which], r.perSecond)
			mallocs[which] = append(mallocs[which], r.mallocs)
		}
		ratios = append(ratios, got[1].perSecond/got[0].perSecond)
	}
	for i, s := range subjects {
		t.add(s.name, fmt.Sprintf("%.0f", median(perSecond[i])), fmt.Sprintf("%.2f", median(mallocs[i])))
	}
	ratio := median(ratios)
	t.note("GOMAXPROCS=1, `wrk -t1 -c%d`, keep-alive, %v each after a warm-up of %v. Medians of %d pairs of servers, in the order ABBA.",
		rateConns, p.load, rateWarmUp, p.pairs)
	t.note("Median of the pairs' ratios: %.3f, of %.3f to %.3f. Target: at least %.2f: %s.",
		ratio, slices.Min(ratios), slices.Max(ratios), rateTarget, verdict(ratio >= rateTarget))
	return t, nil
}

// measureRate has a server of its own, of one processor, under load.
func measureRate(ctx context.Context, s subject, d time.Duration) (rate, error) {
	server, err := s.start(ctx, "GOMAXPROCS=1")
	if err != nil {
		return rate{}, err
	}
	defer server.close()
	if _, err := measureLoad(ctx, server, rateWarmUp); err != nil {
		return rate{}, err
	}
	before, err := mallocs(server)
	if err != nil {
		return rate{}, err
	}
	got, err := measureLoad(ctx, server, d)
	if err != nil {
		return rate{}, err
	}
	after, err := mallocs(server)
	if err != nil {
		return rate{}, err
	}
	return rate{got.perSecond, float64(after-before) / float64(got.requests)}, server.end(ctx)
}

func measureLoad(ctx context.Context, server *tree, d time.Duration) (load, error) {
	w, err := startWrk(ctx, server.addr, rateConns, d)
	if err != nil {
		return load{}, err
	}
	got, err := w.wait()
	switch {
	case err != nil:
		return load{}, err
	case got.requests == 0:
		return load{}, errors.New("no request was answered")
	case got.lost > 0:
		return load{}, fmt.Errorf("lost %d of %d requests: %s", got.lost, got.requests, server.said())
	}
	return got, nil
}

// mallocs returns how often the server has allocated.
func mallocs(server *tree) (uint64, error) {
	body, err := ask(server.addr, "/mallocs")
	if err != nil {
		return 0, fmt.Errorf("ask for allocations: %w", err)
	}
	return strconv.ParseUint(strings.TrimSpace(body), 10, 64)
}
