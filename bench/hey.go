package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// heyMost is how many results hey keeps; of more it does not tell what
	// came of them.
	heyMost = 1_000_000
	// heyRate is of each connection, per second. The pauses are when a server
	// may close it under a request; and it is long until there are heyMost.
	heyRate = 100
)

// startHey loads addr until it is ended. It is a POST with a body, which its
// transport never sends twice.
func startHey(ctx context.Context, addr string, conns int) (*tool, error) {
	return startTool(ctx, parseHey, "hey", "-z", rollsLimit.String(), "-c", strconv.Itoa(conns), "-q", strconv.Itoa(heyRate),
		"-t", "30", "-m", "POST", "-d", "not again", "http://"+addr+"/")
}

// parseHey reads a report, of which it knows these lines:
//
//	  Requests/sec:	3171.9459
//	  99% in 0.1372 secs
//	Status code distribution:
//	  [200]	8124 responses
//	  [503]	7 responses
//	Error distribution:
//	  [12]	Post "http://127.0.0.1:8080/": EOF
//
// Either distribution is there only if it is not empty.
func parseHey(report string) (load, error) {
	var l load
	var rated, timed bool
	l.perSecond, rated = number(report, `\n\s+Requests/sec:\s+([\d.]+)\n`)
	seconds, timed := number(report, `\n\s+99% in ([\d.]+) secs\n`)
	l.p99 = time.Duration(seconds * float64(time.Second))
	if !rated || !timed {
		return load{}, fmt.Errorf("hey reports no figures: %s", report)
	}
	answers, failures, _ := strings.Cut(report, "\nError distribution:\n")
	for _, m := range regexp.MustCompile(`\n\s+\[(\d+)\]\t(\d+) responses`).FindAllStringSubmatch(answers, -1) {
		n, err := strconv.Atoi(m[2])
		switch {
		case err != nil:
			return load{}, fmt.Errorf("read report of hey: %w", err)
		case m[1] == "200":
			l.requests += n
		default:
			l.lost += n
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\s+\[(\d+)\]\t`).FindAllStringSubmatch(failures, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return load{}, fmt.Errorf("read report of hey: %w", err)
		}
		l.lost += n
	}
	if l.requests+l.lost >= heyMost {
		return load{}, errors.New("hey had more requests than it keeps account of: fewer rolls")
	}
	return l, nil
}
