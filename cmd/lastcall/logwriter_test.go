package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/control"
)

// A gatedWriter is a reader that may be slow: each write waits until the gate
// is open.
type gatedWriter struct {
	gate    chan struct{}
	waiting chan struct{} // has room for one
	mu      sync.Mutex
	written bytes.Buffer
}

func newGatedWriter() *gatedWriter {
	return &gatedWriter{gate: make(chan struct{}), waiting: make(chan struct{}, 1)}
}

func (g *gatedWriter) Write(p []byte) (int, error) {
	select {
	case g.waiting <- struct{}{}:
	default:
	}
	<-g.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.written.Write(p)
}

// The lines that find the queue full are counted, and the count stands where
// they are missing.
func TestLogWriterDrops(t *testing.T) {
	g := newGatedWriter()
	w := newLogWriter(g, logger("text", g))
	write := func(from, to int) {
		for n := from; n < to; n++ {
			fmt.Fprintf(w, "line %d\n", n)
		}
	}
	write(0, 1)
	<-g.waiting // the line is with the reader, and the queue empty
	write(1, 1+queuedLines)
	write(10000, 10007)
	close(g.gate)
	until(t, "the queue is emptied", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.queue) == 0
	})
	write(20000, 20001)
	w.close()
	got := slices.Collect(strings.Lines(g.written.String()))
	if len(got) != queuedLines+3 {
		t.Fatalf("%d lines, want %d: %q", len(got), queuedLines+3, got[max(0, len(got)-5):])
	}
	for n, line := range got[:queuedLines+1] {
		if line != fmt.Sprintf("line %d\n", n) {
			t.Fatalf("line %d is %q", n, line)
		}
	}
	if note := got[queuedLines+1]; !strings.Contains(note, `level=WARN msg="dropped log lines" n=7`) {
		t.Errorf("instead of the dropped lines: %q", note)
	}
	if last := got[queuedLines+2]; last != "line 20000\n" {
		t.Errorf("the last line is %q", last)
	}
}

// The end waits for a slow reader, but not for one that does not read.
func TestLogWriterClose(t *testing.T) {
	g := newGatedWriter()
	defer close(g.gate)
	w := newLogWriter(g, logger("json", g))
	fmt.Fprintln(w, "line")
	<-g.waiting
	closed := make(chan struct{})
	go func() { defer close(closed); w.close() }()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Fatal("close waits for a reader that does not read")
	}
	select {
	case <-w.ended:
		t.Error("the writer has ended with its line unwritten")
	default:
	}
}

// A supervisor whose stderr is a pipe that nobody reads starts, obeys and ends
// with its verdict.
func TestBlockedStderr(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	c := startBlocked(t, socket, "sleep", "1000")
	until(t, "it is up", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		st, err := control.Dial(socket).Status(ctx)
		return err == nil && len(st.Programs) == 1 && st.Programs[0].Workers[0].State == "ready"
	})
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := wait(t, c); code != 0 {
		t.Errorf("exit code %d after TERM, want 0", code)
	}
}

// Also the last error, which is no line of the log.
func TestBlockedStderrOfAFailure(t *testing.T) {
	c := startBlocked(t, filepath.Join(t.TempDir(), "s"), "false")
	if code := wait(t, c); code != 3 {
		t.Errorf("exit code %d of a program that does not start, want 3", code)
	}
}

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(30 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("waited 30 s until %s", what)
		}
	}
}

// startBlocked starts a supervisor of a command, with a full pipe for stderr.
func startBlocked(t *testing.T, socket string, command ...string) *exec.Cmd {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	t.Cleanup(func() { r.Close() })
	fill(t, int(w.Fd()))
	c := exec.Command("lastcall", append([]string{"run", "--socket", socket, "--"}, command...)...)
	c.Stderr = w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) // it has ended, unless the test failed
	return c
}

// fill writes to a pipe until it is full, and leaves it blocking.
func fill(t *testing.T, fd int) {
	t.Helper()
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	var err error
	for block := make([]byte, 4096); err == nil; {
		_, err = unix.Write(fd, block)
	}
	if err != unix.EAGAIN {
		t.Fatalf("fill pipe: %v", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}

// wait returns the exit code of a process that must end by itself.
func wait(t *testing.T, c *exec.Cmd) int {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case <-ended: // the exit code says all
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	return c.ProcessState.ExitCode()
}
