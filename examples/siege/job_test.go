package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall/lastcall"
)

// parts counts the files of a set; -1: there is no such folder.
func parts(t *testing.T, elem ...string) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(elem...))
	if errors.Is(err, os.ErrNotExist) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != 1024 {
			t.Errorf("%s has %d bytes, want 1024", e.Name(), info.Size())
		}
	}
	return len(entries)
}

func TestJobAppearsWhole(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := job{dir: dir, name: "a", steps: 3, step: time.Second}
		// An earlier set and an earlier torn one, both larger.
		for _, old := range []string{"a", "a.part"} {
			for _, part := range []string{"part-0", "part-7"} {
				path := filepath.Join(dir, old, part)
				if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, make([]byte, 1024), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		}
		done := make(chan error, 1)
		go func() { done <- j.run(t.Context()) }()
		<-time.After(2500 * time.Millisecond)
		synctest.Wait()
		if now, next := parts(t, dir, "a"), parts(t, dir, "a.part"); now != 2 || next != 2 {
			t.Errorf("in the middle: %d parts of the old set, %d of the new, want 2 and 2", now, next)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
	if now, next := parts(t, dir, "a"), parts(t, dir, "a.part"); now != 3 || next != -1 {
		t.Errorf("at the end: %d parts and %d in a.part, want 3 and no folder", now, next)
	}
}

func TestJobGoesOnWhenTheClientLeaves(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		began := time.Now()
		if err := (job{dir: dir, name: "a", steps: 3, step: time.Second}).run(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("took %v, want 3s: the pauses are part of the job", took)
		}
	})
	if n := parts(t, dir, "a"); n != 3 {
		t.Errorf("%d parts, want 3", n)
	}
}

func TestCutJobLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cut := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- (job{dir: dir, name: "a", steps: 3, step: time.Second}).run(ctx) }()
		<-time.After(1500 * time.Millisecond)
		cut(lastcall.ErrCut)
		if err := <-done; !errors.Is(err, lastcall.ErrCut) {
			t.Errorf("a cut job returns %v, want %v", err, lastcall.ErrCut)
		}
	})
	if set, part := parts(t, dir, "a"), parts(t, dir, "a.part"); set != -1 || part != -1 {
		t.Errorf("a cut job leaves %d and %d parts", set, part)
	}
}
