package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// longPoints is how many times the supervisor is looked at, after the first.
const longPoints = 4

// takeLong shows what many rolls leave in the supervisor.
func takeLong(ctx context.Context, l *lab, p plan) (*table, error) {
	server, err := l.supervised(rollWorkers).start(ctx)
	if err != nil {
		return nil, err
	}
	defer server.close()
	t := &table{
		title: fmt.Sprintf("%d rolling restarts of %d workers, and what the supervisor holds", p.long, rollWorkers),
		head:  []string{"rolls", "descriptors", "threads", "resident memory"},
	}
	for done, point := 0, 0; ; done++ {
		if done == p.long*point/longPoints {
			held, err := holdings(server.process.Pid)
			if err != nil {
				return nil, err
			}
			t.add(append([]string{fmt.Sprint(done)}, held...)...)
			point++
		}
		if done == p.long {
			break
		}
		if _, err := output(exec.CommandContext(ctx, l.lastcall, "restart", "--socket", server.socket)); err != nil {
			return nil, fmt.Errorf("%w: %s", err, server.said())
		}
	}
	t.note("`lastcall restart`, one after the other, nothing else to do. All of it is to stay flat; that the descriptors and goroutines do is a test too (TestRollsLeaveNothing).")
	return t, server.end(ctx)
}

// holdings are a process's open descriptors, threads and resident memory.
func holdings(pid int) ([]string, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		return nil, fmt.Errorf("list descriptors: %w", err)
	}
	b, err := os.ReadFile(dir + "status")
	if err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	threads, memory := "?", "?"
	for line := range strings.Lines(string(b)) {
		switch key, value, _ := strings.Cut(line, ":"); key {
		case "Threads":
			threads = strings.TrimSpace(value)
		case "VmRSS":
			memory = strings.TrimSpace(value)
		}
	}
	return []string{fmt.Sprint(len(files)), threads, memory}, nil
}
