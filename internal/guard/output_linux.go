package guard

import (
	"bytes"
	"os"
	"time"
)

// flushLimit is how long the end of the guard waits for a slow reader of its
// log.
const flushLimit = time.Second

// An output passes lines on to stderr and never waits: nobody may be left who
// reads it, and a full pipe must not keep the guard from its work. Lines that
// find the queue full are dropped.
type output struct {
	lines chan []byte
	ended chan struct{} // closed when all is written
}

func newOutput() *output {
	o := &output{lines: make(chan []byte, 1000), ended: make(chan struct{})}
	go func() {
		defer close(o.ended)
		for line := range o.lines {
			_, _ = os.Stderr.Write(line) // an error of the log has nowhere else to go
		}
	}()
	return o
}

// Write takes one line. It returns at once, and no error.
func (o *output) Write(line []byte) (int, error) {
	select {
	case o.lines <- bytes.Clone(line):
	default:
	}
	return len(line), nil
}

// close waits until all is written, but no longer than flushLimit. Nothing may
// be written after it.
func (o *output) close() {
	close(o.lines)
	select {
	case <-o.ended:
	case <-time.After(flushLimit):
	}
}
