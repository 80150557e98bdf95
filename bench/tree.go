package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A tree is a server that runs: the process that was started and all below it.
type tree struct {
	addr    string
	socket  string // of the supervisor; "" without one
	process *os.Process
	gone    chan struct{} // closed when process has ended
	log     string
}

// terminate tells it to stop.
func (t *tree) terminate() error {
	if err := t.process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop server: %w", err)
	}
	return nil
}

// end stops it and returns when its first process has ended.
func (t *tree) end(ctx context.Context) error {
	if err := t.terminate(); err != nil {
		return err
	}
	late := time.NewTimer(stopTimeout)
	defer late.Stop()
	select {
	case <-t.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return fmt.Errorf("stop server: still there after %v: %s", stopTimeout, t.said())
	}
}

// close kills whatever of it is left; nothing is after an orderly end.
func (t *tree) close() {
	select {
	case <-t.gone:
		return
	default:
	}
	if e, err := watch(t.process.Pid); err == nil {
		e.close()
	}
	_ = t.process.Kill() // it has ended
	<-t.gone
}

// said returns the end of its log.
func (t *tree) said() string {
	b, err := os.ReadFile(t.log)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	return "its last lines:\n" + string(b[max(0, len(b)-most):])
}

// family returns the living processes from pid down, itself first.
func family(pid int) []int {
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err != nil {
		return nil
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children(all[i])...)
	}
	return all
}

// children lists those of each thread: a process belongs to the one that
// forked it.
func children(pid int) []int {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		return nil // it has ended
	}
	var out []int
	for _, thread := range threads {
		b, err := os.ReadFile(dir + "/" + thread.Name() + "/children")
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}
