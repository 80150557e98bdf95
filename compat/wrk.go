package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// startWrk loads addr until it is ended.
func startWrk(ctx context.Context, addr string, headers ...string) (end func() (tally, error), err error) {
	// Its own timeout, 2 s, would count a busy machine as lost requests.
	args := []string{"-t1", "-c" + strconv.Itoa(connections), "-d10m", "--timeout", "30s"}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	cmd := exec.CommandContext(ctx, "wrk", append(args, "http://"+addr+"/")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // SIGINT would have it report, not end
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start wrk: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait() // interrupted it reports; that is all its exit status tells
	}()
	return func() (tally, error) {
		// More than once: a signal that comes before wrk goes to sleep for the
		// time of its run does not wake it.
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for {
			if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return tally{}, fmt.Errorf("interrupt wrk: %w", err)
			}
			select {
			case <-gone:
				return parseWrk(out.String())
			case <-again.C:
			}
		}
	}, nil
}

// parseWrk reads a report, of which it knows these lines:
//
//	160093 requests in 3.10s, 18.93MB read
//	Socket errors: connect 0, read 12, write 0, timeout 0
//	Non-2xx or 3xx responses: 7
//	Requests/sec:  51644.21
//
// The second and third are there only if there is something to say.
func parseWrk(report string) (tally, error) {
	var t tally
	requests, counted := sum(report, `(\d+) requests in `)
	_, whole := sum(report, `Requests/sec:\s+(\d+)`)
	if !counted || !whole {
		return t, fmt.Errorf("wrk reports no figures: %s", report)
	}
	sockets, _ := sum(report, `Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	refused, _ := sum(report, `Non-2xx or 3xx responses: (\d+)`)
	return tally{answered: requests - refused, lost: sockets + refused}, nil
}

// sum adds the numbers that the groups of a pattern match in a report.
func sum(report, pattern string) (total int, found bool) {
	m := regexp.MustCompile(pattern).FindStringSubmatch(report)
	if m == nil {
		return 0, false
	}
	for _, digits := range m[1:] {
		n, err := strconv.Atoi(digits)
		if err != nil {
			return 0, false
		}
		total += n
	}
	return total, true
}
