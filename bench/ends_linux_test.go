package main

import (
	"bufio"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startFamily starts a shell with two children, all of which would live long.
// None outlives the test.
func startFamily(t *testing.T) (*exec.Cmd, []int) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "sleep 600 & echo $!; sleep 600 & echo $!; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := []int{cmd.Process.Pid}
	for lines := bufio.NewScanner(out); len(pids) < 3 && lines.Scan(); {
		pid, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it should have ended
			unix.Close(fd)
		})
	}
	return cmd, pids
}

// TestWaitIsForTheLast ends the first process of a tree, then its children one
// by one.
func TestWaitIsForTheLast(t *testing.T) {
	cmd, pids := startFamily(t)
	e, err := watch(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	if got := family(cmd.Process.Pid); !slices.Equal(got, pids) {
		t.Fatalf("family: %v, want %v", got, pids)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	type result struct {
		at  time.Time
		err error
	}
	done := make(chan result, 1)
	go func() {
		at, err := e.wait(t.Context())
		done <- result{at, err}
	}()
	var last time.Time
	for _, pid := range pids[1:] {
		last = time.Now()
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	r := <-done
	if r.err != nil || r.at.Before(last) {
		t.Errorf("wait: %v, %v before the last was killed", r.err, last.Sub(r.at))
	}
}

// TestCloseKillsTheRest leaves nothing of a tree that was not waited for.
func TestCloseKillsTheRest(t *testing.T) {
	cmd, _ := startFamily(t)
	e, err := watch(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	again, err := watch(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	e.close()
	if _, err := again.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if _, err := watch(cmd.Process.Pid); err == nil {
		t.Error("a tree that has ended can be watched")
	}
}
