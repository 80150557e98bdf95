package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// abMost is when ab ends by itself; it has room for the times of so many.
const abMost = 10_000_000

// startAb loads addr with HTTP/1.0 requests on connections that it keeps, until
// it is ended.
func (l *lab) startAb(ctx context.Context, addr string, conns int) (*tool, error) {
	times := filepath.Join(l.dir, "ab.csv") // in its report they are whole milliseconds
	// -t first: it sets a number of requests. -r: a broken connection is
	// counted, and is not the end.
	return startTool(ctx, func(report string) (load, error) {
		csv, err := os.ReadFile(times)
		if err != nil {
			return load{}, fmt.Errorf("read times of ab: %w: %s", err, report)
		}
		return parseAb(report, string(csv))
	}, "ab", "-t", strconv.Itoa(int(rollsLimit.Seconds())), "-n", strconv.Itoa(abMost), "-r", "-k",
		"-c", strconv.Itoa(conns), "-e", times, "http://"+addr+"/")
}

// parseAb reads a report, of which it knows these lines, the last two of which
// are there only if there is something to say:
//
//	Complete requests:      75425
//	Failed requests:        0
//	Requests per second:    10523.97 [#/sec] (mean)
//	Write errors:           3
//	Non-2xx responses:      7
//
// and of the percentiles, in milliseconds, the line 99,67.376. The complete
// include the failed.
func parseAb(report, csv string) (load, error) {
	var l load
	complete, counted := sum(report, `\nComplete requests:\s+(\d+)\n`)
	failed, told := sum(report, `\nFailed requests:\s+(\d+)\n`)
	writes, _ := sum(report, `\nWrite errors:\s+(\d+)\n`)
	refused, _ := sum(report, `\nNon-2xx responses:\s+(\d+)\n`)
	perSecond, rated := number(report, `\nRequests per second:\s+([\d.]+) `)
	p99, timed := number(csv, `\n99,([\d.]+)\n`)
	if !counted || !told || !rated || !timed {
		return l, fmt.Errorf("ab reports no figures: %s%s", report, csv)
	}
	l.lost = failed + writes + refused
	l.requests = max(0, complete-failed-refused)
	l.perSecond, l.p99 = perSecond, time.Duration(p99*float64(time.Millisecond))
	return l, nil
}
