package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What is aimed at.
const (
	respawnTarget   = 10 * time.Millisecond
	footprintTarget = 12 << 10 // KiB, of supervisor and guard, with 4 workers
	workerTarget    = 40       // KiB more, for each further worker
	wakeTarget      = 1.0      // per second, at rest
)

// crowd starts a supervisor of so many workers that cost nothing themselves
// and are ready at once, and waits until they all are.
func (l *lab) crowd(ctx context.Context, workers int) (*tree, error) {
	file := filepath.Join(l.dir, fmt.Sprintf("crowd-%d-%d.toml", workers, l.started))
	text := fmt.Sprintf("[program.crowd]\ncommand = [\"sleep\", \"1000000\"]\nworkers = %d\nready = { file = \"/\" }\n", workers)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	socket := filepath.Join(l.dir, strconv.Itoa(l.started)+".sock")
	args := []string{l.lastcall, "run", "-f", file, "--socket", socket}
	t, err := l.start(ctx, 1+workers, nil, args, "", func(ctx context.Context) bool { return l.running(ctx, socket) })
	if err == nil {
		t.socket = socket
	}
	return t, err
}

// takeRespawn times from the death of a worker to the exec of its successor.
func takeRespawn(ctx context.Context, l *lab, p plan) (*table, error) {
	t := &table{title: "From the death of a worker to its successor's exec", head: []string{"", "median", "least", "most"}}
	var times []time.Duration
	for range p.runs {
		d, err := l.respawn(ctx)
		if err != nil {
			return nil, err
		}
		times = append(times, d)
	}
	t.add(append([]string{"`lastcall run`, 4 workers, the first crash"}, spread(times)...)...)
	t.note("A worker is killed; /proc is looked at without a pause for the next process that is not the supervisor's own executable. %d crashes, a new supervisor for each.", p.runs)
	t.note("Target: a median of at most %v: %s.", respawnTarget, verdict(median(times) <= respawnTarget))
	return t, nil
}

func (l *lab) respawn(ctx context.Context) (time.Duration, error) {
	server, err := l.crowd(ctx, 4)
	if err != nil {
		return 0, err
	}
	defer server.close()
	own := link(server.process.Pid)
	before := workersOf(server.process.Pid, own)
	victim, err := os.FindProcess(before[0])
	if err != nil {
		return 0, err
	}
	defer victim.Release()
	if err := victim.Kill(); err != nil {
		return 0, fmt.Errorf("kill worker: %w", err)
	}
	killed := time.Now()
	for limit := killed.Add(startTimeout); time.Now().Before(limit); {
		for _, pid := range workersOf(server.process.Pid, own) {
			if !slices.Contains(before, pid) {
				return time.Since(killed), server.end(ctx)
			}
		}
	}
	return 0, fmt.Errorf("no successor in %v: %s", startTimeout, server.said())
}

// workersOf returns the children of a supervisor that run another executable.
func workersOf(pid int, own string) []int {
	return slices.DeleteFunc(children(pid), func(child int) bool {
		exe := link(child)
		return exe == own || exe == ""
	})
}

func link(pid int) string {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "" // it has ended
	}
	return exe
}

// takeFootprint measures what a supervisor and its guard cost at rest.
func takeFootprint(ctx context.Context, l *lab, _ plan) (*table, error) {
	t := &table{
		title: "Supervisor and guard together, at rest",
		head:  []string{"", "proportional memory", "wake-ups per second"},
	}
	var memory [2]int
	var worst float64
	for i, workers := range []int{4, 104} {
		m, wakes, err := l.footprint(ctx, workers)
		if err != nil {
			return nil, err
		}
		memory[i], worst = m, max(worst, wakes)
		t.add(fmt.Sprintf("%d workers", workers), fmt.Sprintf("%.1f MB", float64(m)/1024), fmt.Sprintf("%.2f", wakes))
	}
	each := float64(memory[1]-memory[0]) / 100
	t.note("Pss of /proc/PID/smaps_rollup, after five seconds of rest; voluntary context switches of all threads in the ten seconds after.")
	t.note("Targets: at most 12 MB with 4 workers: %s; at most %d kB for each further one: %.0f kB, %s; less than one wake-up a second: %s.",
		verdict(memory[0] <= footprintTarget), workerTarget, each, verdict(each <= workerTarget), verdict(worst < wakeTarget))
	return t, nil
}

func (l *lab) footprint(ctx context.Context, workers int) (memory int, wakes float64, err error) {
	server, err := l.crowd(ctx, workers)
	if err != nil {
		return 0, 0, err
	}
	defer server.close()
	own := link(server.process.Pid)
	both := []int{server.process.Pid}
	for _, child := range children(server.process.Pid) {
		if link(child) == own {
			both = append(both, child)
		}
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return 0, 0, err
	}
	before := 0
	for _, pid := range both {
		memory += field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
		before += switches(pid)
	}
	const watched = 10 * time.Second
	if err := pause(ctx, watched); err != nil {
		return 0, 0, err
	}
	after := 0
	for _, pid := range both {
		after += switches(pid)
	}
	return memory, float64(after-before) / watched.Seconds(), server.end(ctx)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// switches counts how often the threads of a process have gone to sleep.
func switches(pid int) int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid)) // the pattern is well formed
	n := 0
	for _, file := range files {
		n += field(file, "voluntary_ctxt_switches:")
	}
	return n
}

// field returns a number of a file in /proc; 0 if it is not there.
func field(file, name string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

// takeCrowd times what many workers cost.
func takeCrowd(ctx context.Context, l *lab, _ plan) (*table, error) {
	t := &table{
		title: "Many workers: time for each, in all",
		head:  []string{"workers", "start", "rolling restart", "stop"},
	}
	for _, workers := range []int{10, 100, 1000} {
		began := time.Now()
		server, err := l.crowd(ctx, workers)
		if err != nil {
			return nil, err
		}
		started := time.Since(began)
		rolled, err := timed(func() error {
			_, err := output(exec.CommandContext(ctx, l.lastcall, "restart", "crowd", "--socket", server.socket))
			return err
		})
		if err != nil {
			server.close()
			return nil, err
		}
		stopped, err := timed(func() error { return server.end(ctx) })
		server.close()
		if err != nil {
			return nil, err
		}
		each := func(d time.Duration) string {
			return fmt.Sprintf("%.2f ms (%.1f s)", d.Seconds()*1000/float64(workers), d.Seconds())
		}
		t.add(strconv.Itoa(workers), each(started), each(rolled), each(stopped))
	}
	t.note("The workers are sleep(1), ready at once; most of the time is the kernel's, for fork, exec and exit. A rolling restart replaces one after the other.")
	return t, nil
}

func timed(f func() error) (time.Duration, error) {
	began := time.Now()
	err := f()
	return time.Since(began), err
}
