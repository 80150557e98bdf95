package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestManifestFitsItsBudget holds the manifest for Kubernetes against itself, as
// its init container does: its configuration is sound, a stop fits into the time
// that it gives, and not into one that is shorter than it says.
func TestManifestFitsItsBudget(t *testing.T) {
	h := found(t)
	text, err := os.ReadFile("../../packaging/kubernetes/lastcall.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "  lastcall.toml: |\n")
	config, manifest, sound := strings.Cut(rest, "---\n")
	if !ok || !sound {
		t.Fatal("it has no lastcall.toml any more")
	}
	h.configure(strings.ReplaceAll(strings.ReplaceAll(config, "\n    ", "\n"), "/usr/local/bin/hello", h.path("brisk")))
	found := func(pattern string) string {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(manifest)
		if m == nil {
			t.Fatalf("it has nothing like %s any more", pattern)
		}
		return m[1]
	}
	budget := found(`"--budget", "(\d+)s"`)
	if gives := found(`terminationGracePeriodSeconds: (\d+)\n`); gives != budget {
		t.Errorf("it gives %s seconds and checks for %s", gives, budget)
	}
	cmd := h.command("check", "--budget", budget+"s")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	said := regexp.MustCompile(`#\s+(\d+) s  < terminationGracePeriodSeconds: ` + budget).FindStringSubmatch(string(text))
	if said == nil {
		t.Fatal("its first lines have no sum any more")
	}
	if out, err := h.command("check", "--budget", said[1]+"s").CombinedOutput(); err != nil {
		t.Errorf("it is more than the %s s that it says: %s", said[1], out)
	}
}
