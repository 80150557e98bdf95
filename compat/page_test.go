package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errPlanted = errors.New("planted")

// directories lists the names of those in a directory.
func directories(path string) (names []string, err error) {
	all, err := fs.ReadDir(os.DirFS(path), ".")
	for _, e := range all {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// TestComparePage changes one thing of the page at a time.
func TestComparePage(t *testing.T) {
	row := func(version string, kept tally, ready, reason string) string {
		return page([]result{{
			server: server{name: "puma", title: "puma", takes: "x", expected: expected{losesKept: reason}},
			number: version, ready: []string{ready}, kept: kept,
		}})
	}
	path := filepath.Join(t.TempDir(), "page.md")
	if err := comparePage(path, row("5.6.5", tally{}, "notify", "")); err == nil {
		t.Error("no page is as good as any")
	}
	if err := writePage(path, row("5.6.5", tally{answered: 10}, "notify", "x")); err != nil {
		t.Fatal(err)
	}
	if err := comparePage(path, row("7.0", tally{answered: 2000, lost: 13}, "notify", "x")); err != nil {
		t.Errorf("other numbers: %v", err)
	}
	for what, text := range map[string]string{
		"another readiness": row("5.6.5", tally{}, "uptime", "x"),
		"another reason":    row("5.6.5", tally{}, "notify", "y"),
		"no reason":         row("5.6.5", tally{}, "notify", ""),
		"a missing end":     strings.TrimSuffix(row("5.6.5", tally{}, "notify", "x"), "ended.\n"),
		"a longer one":      row("5.6.5", tally{}, "notify", "x") + "more\n",
	} {
		if err := comparePage(path, text); err == nil || !strings.Contains(err.Error(), "make compat COMPAT=-write") {
			t.Errorf("%s: %v, want an error with the remedy", what, err)
		}
	}
}
