package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lastcall/lastcall"
)

// What becomes of a job that a drain cuts is where the three ways differ: the
// class and the section tell it, and it undoes its half set; behind a gate it
// cannot be told.
func TestEachWayWhenItIsCut(t *testing.T) {
	for _, c := range []struct {
		way    string
		leaves bool // the client, before the cut
		named  string
		half   bool // half a set stays
	}{
		{wayClass, false, "POST", false},
		{waySection, false, "set a", false},
		{waySection, true, "set a", false},
		{wayGate, false, "POST", true},
	} {
		t.Run(fmt.Sprintf("%s/client leaves: %v", c.way, c.leaves), func(t *testing.T) {
			cutJob(t, c.way, c.leaves, c.named, c.half)
		})
	}
}

func cutJob(t *testing.T, way string, leaves bool, named string, half bool) {
	dir, db := t.TempDir(), store(t)
	s := &site{slot: 2, data: dir, locks: newLocks(db, "web.2", 2, os.Getpid())}
	handler, err := s.routes(way)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	w := lastcall.Worker{OnDrain: s.onDrain, OnExit: s.onExit, Logger: slog.New(slog.DiscardHandler)}
	w.UnwindTimeout = 20 * time.Second // the undoing must not be cut on a busy machine
	served := make(chan error, 1)
	go func() {
		served <- w.Serve(context.Background(), lastcall.Server{Addr: addr, HTTP: &http.Server{Handler: handler}})
	}()
	eventually(t, "it serves", func() bool {
		code, _, _ := request(t, t.Context(), "GET", "http://"+addr)
		return code == 200
	})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	answered := make(chan int, 1)
	go func() {
		code, _, _ := request(t, ctx, "POST", "http://"+addr+"/work/a?steps=3&step=1000")
		answered <- code
	}()
	part := filepath.Join(dir, "a.part")
	eventually(t, "the job begins", func() bool { _, err := os.Stat(part); return err == nil })
	if leaves {
		leave()
		<-answered
	}
	w.Cut()
	err = <-served
	var cut *lastcall.CutError
	isNamed := func(o lastcall.CutOperation) bool { return o.Name == named }
	if !errors.As(err, &cut) || !slices.ContainsFunc(cut.Operations, isNamed) {
		t.Errorf("Serve returns %v, want that %q was cut", err, named)
	}
	if _, err := os.Stat(part); (err == nil) != half {
		t.Errorf("half a set is there: %v, want %v", err == nil, half)
	}
	if held := len(members(t, db, keyLocks)) > 0; held != half {
		t.Errorf("its lock is held: %v, want %v", held, half)
	}
}
