package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEvidence reads by what programs became ready from a log in which others
// write, too.
func TestEvidence(t *testing.T) {
	s := logged(t, `listening
{"time":"x","msg":"ready","worker":"app.0","life":1,"by":"accepting"}
{"msg":"ready","worker":"web.0","by":"told by a worker"}
{"time":"x","msg":"ready","worker":"web.1","life":2,"by":"notify"}
{"time":"x","msg":"ready","worker":"web.0","life":1,"by":"uptime"}
{"time":"x","msg":"ready"}
`)
	for packaged, want := range map[string][]string{
		"":    {"app: accepting", "web: uptime"},
		"app": {"app: package", "web: uptime"},
		"web": {"app: accepting", "web: uptime"},
	} {
		if got, err := s.evidence(packaged); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q uses the package: got %q, %v, want %q", packaged, got, err, want)
		}
	}
	if by, err := logged(t, "nothing\n").evidence(""); err == nil {
		t.Errorf("evidence of nothing: %q", by)
	}
}

// TestInOrder plants a helper that is asked to end too early.
func TestInOrder(t *testing.T) {
	line := func(msg, worker string) string {
		return fmt.Sprintf("{\"time\":\"x\",\"msg\":%q,\"worker\":%q}\n", msg, worker)
	}
	good := line("draining", "web.0") + line("draining", "web.1") + line("gone", "web.0") + line("gone", "web.1") + line("draining", "redis.0") + line("gone", "redis.0")
	if err := logged(t, good).inOrder(); err != nil {
		t.Error(err)
	}
	bad := line("draining", "web.0") + line("draining", "redis.0") + line("gone", "web.0")
	if err := logged(t, bad).inOrder(); err == nil || !strings.Contains(err.Error(), "redis.0") {
		t.Errorf("%v, want an error that names redis.0", err)
	}
}

func logged(t *testing.T, text string) *site {
	t.Helper()
	s := &site{dir: filepath.Join(t.TempDir(), "server")}
	if err := os.WriteFile(s.logPath(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}
