package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lastcall/lastcall"
)

// A job writes a set of files, whole or not at all: the parts go into
// NAME.part, which is renamed to NAME at the end. Whoever runs it holds the
// lock of its name.
type job struct {
	dir, name string
	steps     int
	step      time.Duration
}

// run writes the set. It goes on when the client has left; when the deadline
// of a drain cuts it, it leaves nothing and returns lastcall.ErrCut.
func (j job) run(ctx context.Context) error {
	final := filepath.Join(j.dir, j.name)
	part := final + ".part"
	// What an earlier job left when its process was killed is no part of this set.
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("clear set: %w", err)
	}
	if err := os.MkdirAll(part, 0o777); err != nil {
		return fmt.Errorf("begin set: %w", err)
	}
	content := []byte(strings.Repeat("x", 1024))
	for i := range j.steps {
		if err := pause(ctx, j.step); err != nil {
			return errors.Join(err, os.RemoveAll(part))
		}
		if err := os.WriteFile(filepath.Join(part, fmt.Sprintf("part-%d", i)), content, 0o666); err != nil {
			return fmt.Errorf("write part: %w", err)
		}
	}
	if err := os.RemoveAll(final); err != nil {
		return fmt.Errorf("replace set: %w", err)
	}
	if err := os.Rename(part, final); err != nil {
		return fmt.Errorf("end set: %w", err)
	}
	return nil
}

// pause waits for d. Only a cut ends it early: that the client has left is no
// reason to leave half a set, and it must not end the waiting between parts.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	}
	if cause := context.Cause(ctx); errors.Is(cause, lastcall.ErrCut) {
		return cause
	}
	<-timer.C
	return nil
}
