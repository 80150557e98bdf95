package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary play siege itself, as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("SIEGE_TEST_AS_COMMAND") != "" {
		main()
		os.Exit(0)
	}
	code := m.Run()
	if err := built.remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// eventually polls until a condition holds. The limit is generous: it is for
// machines that are busy, not for what is slow.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	if err := run([]string{"lood"}); err == nil {
		t.Error("run accepts an unknown command")
	}
}
