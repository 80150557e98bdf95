package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// A wrk is a run of the load generator of that name.
type wrk struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// wrkMissing is what stands for a figure that needs wrk.
const wrkMissing = "wrk is not installed: not measured."

func haveWrk() bool {
	_, err := exec.LookPath("wrk")
	return err == nil
}

// startWrk loads addr for d, or until it is stopped.
func startWrk(ctx context.Context, addr string, conns int, d time.Duration, headers ...string) (*wrk, error) {
	// Its own timeout, 2 s, would count a busy machine as lost requests.
	args := []string{"-t1", "-c" + strconv.Itoa(conns), fmt.Sprintf("-d%ds", int(d.Seconds())), "--timeout", "30s"}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	w := &wrk{cmd: exec.CommandContext(ctx, "wrk", append(args, "http://"+addr+"/")...)}
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.out
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // SIGINT would have it report, not end
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start wrk: %w", err)
	}
	return w, nil
}

// stop ends it early; its report comes from wait.
func (w *wrk) stop() error { return w.cmd.Process.Signal(os.Interrupt) }

// wait returns what it reports.
func (w *wrk) wait() (load, error) {
	if err := w.cmd.Wait(); err != nil {
		return load{}, fmt.Errorf("run wrk: %w: %s", err, w.out.String())
	}
	return parseWrk(w.out.String())
}

// A load is what clients have seen.
type load struct {
	requests  int // answered
	lost      int // no answer, not a whole one, or not a good one
	perSecond float64
}

// parseWrk reads a report, of which it knows these lines:
//
//	160093 requests in 3.10s, 18.93MB read
//	Socket errors: connect 0, read 12, write 0, timeout 0
//	Non-2xx or 3xx responses: 7
//	Requests/sec:  51644.21
//
// The second and third are there only if there is something to say.
func parseWrk(report string) (load, error) {
	var l load
	sum := func(pattern string) (total int, found bool) {
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
	var counted bool
	l.requests, counted = sum(`(\d+) requests in `)
	sockets, _ := sum(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	refused, _ := sum(`Non-2xx or 3xx responses: (\d+)`)
	l.lost = sockets + refused
	m := regexp.MustCompile(`Requests/sec:\s+([\d.]+)`).FindStringSubmatch(report)
	if !counted || m == nil {
		return load{}, fmt.Errorf("wrk reports no figures: %s", report)
	}
	var err error
	if l.perSecond, err = strconv.ParseFloat(m[1], 64); err != nil {
		return load{}, fmt.Errorf("read report of wrk: %w", err)
	}
	return l, nil
}
