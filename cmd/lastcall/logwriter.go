package main

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"
)

// queuedLines bounds how much of the log waits for a reader that is slow.
const queuedLines = 1000

// flushLimit is how long the end of the process waits for that reader.
const flushLimit = time.Second

// A logWriter passes lines on and never waits: the supervisor's loop logs, and
// a pipe that nobody reads must not keep it from stopping its workers. What
// finds the queue full is dropped and counted. Its methods may be called from
// any goroutine.
type logWriter struct {
	to    io.Writer
	notes *slog.Logger // writes to the same, for the goroutine alone

	mu      sync.Mutex
	queue   [][]byte
	dropped int // lines that came after those in the queue
	closed  bool

	more  chan struct{} // has room for one: there is something to do
	ended chan struct{} // closed when all is written
}

// newLogWriter starts the goroutine that writes; close ends it.
func newLogWriter(to io.Writer, notes *slog.Logger) *logWriter {
	w := &logWriter{to: to, notes: notes, more: make(chan struct{}, 1), ended: make(chan struct{})}
	go w.pass()
	return w
}

// Write takes one line. It returns at once, and no error: what can be done
// about one is done here.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	if len(w.queue) < queuedLines {
		w.queue = append(w.queue, bytes.Clone(line))
	} else {
		w.dropped++
	}
	w.mu.Unlock()
	w.wake()
	return len(line), nil
}

func (w *logWriter) wake() {
	select {
	case w.more <- struct{}{}:
	default: // it is awake, and looks once more before it waits
	}
}

// pass writes what is queued, each line in a write of its own, so that it does
// not mix with the workers' output. The count of the lines that were dropped
// stands where they are missing.
func (w *logWriter) pass() {
	defer close(w.ended)
	for range w.more {
		w.mu.Lock()
		lines, dropped, closed := w.queue, w.dropped, w.closed
		w.queue, w.dropped = nil, 0
		w.mu.Unlock()
		for _, line := range lines {
			_, _ = w.to.Write(line) // an error of the log has nowhere else to go
		}
		if dropped > 0 {
			w.notes.Warn("dropped log lines", "n", dropped)
		}
		if closed {
			return
		}
	}
}

// close waits until all is written, but no longer than flushLimit. Nothing may
// be written after it.
func (w *logWriter) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake()
	limit := time.NewTimer(flushLimit)
	defer limit.Stop()
	select {
	case <-w.ended:
	case <-limit.C:
	}
}
