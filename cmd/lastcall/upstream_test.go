package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The manual shows what the command prints for the configuration it shows.
func TestManualOfPorts(t *testing.T) {
	manual, err := os.ReadFile(filepath.Join("..", "..", "docs", "ports.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string) string {
		_, rest, found := strings.Cut(string(manual), "```"+kind+"\n")
		text, _, ends := strings.Cut(rest, "```")
		if !found || !ends {
			t.Fatalf("the manual has no block of %s", kind)
		}
		return text
	}
	t.Chdir(t.TempDir())
	for name, mode := range map[string]os.FileMode{"lastcall.toml": 0o666, "server": 0o777} {
		if err := os.WriteFile(name, []byte(block("toml")), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, proxy := range []string{"nginx", "haproxy"} {
		var stdout, stderr bytes.Buffer
		if code := run([]string{"upstream", proxy}, &stdout, &stderr); code != 0 {
			t.Errorf("%s: exit code %d, %s", proxy, code, &stderr)
		}
		if diff := cmp.Diff(block(proxy), stdout.String()); diff != "" {
			t.Errorf("%s (-manual +command)\n%s", proxy, diff)
		}
	}
}
