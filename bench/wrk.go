package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// startWrk loads addr for d, or until it is ended.
func startWrk(ctx context.Context, addr string, conns int, d time.Duration, headers ...string) (*tool, error) {
	// Its own timeout, 2 s, would count a busy machine as lost requests.
	args := []string{"-t1", "-c" + strconv.Itoa(conns), fmt.Sprintf("-d%ds", int(d.Seconds())), "--timeout", "30s", "--latency"}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	return startTool(ctx, parseWrk, "wrk", append(args, "http://"+addr+"/")...)
}

// parseWrk reads a report, of which it knows these lines:
//
//	   99%    1.23ms
//	160093 requests in 3.10s, 18.93MB read
//	Socket errors: connect 0, read 12, write 0, timeout 0
//	Non-2xx or 3xx responses: 7
//	Requests/sec:  51644.21
//
// The third and fourth are there only if there is something to say.
func parseWrk(report string) (load, error) {
	var l load
	var counted, rated bool
	l.requests, counted = sum(report, `(\d+) requests in `)
	sockets, _ := sum(report, `Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	refused, _ := sum(report, `Non-2xx or 3xx responses: (\d+)`)
	l.lost = sockets + refused
	l.perSecond, rated = number(report, `Requests/sec:\s+([\d.]+)`)
	m := regexp.MustCompile(`\n\s+99%\s+([\d.]+[mu]?s)\n`).FindStringSubmatch(report)
	if !counted || !rated || m == nil {
		return load{}, fmt.Errorf("wrk reports no figures: %s", report)
	}
	var err error
	if l.p99, err = time.ParseDuration(m[1]); err != nil {
		return load{}, fmt.Errorf("read report of wrk: %w", err)
	}
	return l, nil
}
