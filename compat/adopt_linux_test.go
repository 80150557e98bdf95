package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestOrphansAreSeen leaves a process behind, as a server might, out of its
// session.
func TestOrphansAreSeen(t *testing.T) {
	if err := adoptOrphans(); err != nil {
		t.Fatal(err)
	}
	if left := orphans(); len(left) > 0 {
		t.Fatalf("left before anything was started: %q", left)
	}
	if _, err := output(exec.CommandContext(t.Context(), "sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & ")); err != nil {
		t.Fatal(err)
	}
	if left := orphans(); len(left) != 1 || !strings.Contains(left[0], "sleep 600") {
		t.Errorf("left: %q, want the sleep", left)
	}
	if left := orphans(); len(left) > 0 {
		t.Errorf("left after they were killed: %q", left)
	}
}
