package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWriteFigure has each figure take the place of its own, or come to stand in
// the order of all, and everything else stay as it is.
func TestWriteFigure(t *testing.T) {
	const head, tail = "head\n" + figuresBegin, figuresEnd + "tail\n"
	shown := func(figures ...string) string {
		return head + "\n" + strings.Join(figures, "") + tail
	}
	const (
		stop, rate, roll = "<!-- figure stop -->\nold stop\n\n", "<!-- figure rate -->\nold rate\n\n", "<!-- figure roll -->\nold roll\n\n"
		gone             = "<!-- figure gone -->\nno longer taken\n\n"
		fresh            = "<!-- figure rate -->\nnew\n\n"
	)
	for _, c := range []struct{ name, before, after string }{
		{"none before", head + tail, shown(fresh)},
		{"the only one", shown(rate), shown(fresh)},
		{"the first", shown(rate, roll), shown(fresh, roll)},
		{"the middle", shown(stop, rate, roll), shown(stop, fresh, roll)},
		{"the last", shown(stop, rate), shown(stop, fresh)},
		{"where others lead", shown(roll, rate, stop), shown(roll, fresh, stop)},
		{"new at the start", shown(roll), shown(fresh, roll)},
		{"new between", shown(stop, roll), shown(stop, fresh, roll)},
		{"new at the end", shown(stop), shown(stop, fresh)},
		{"beside one of no known name", shown(gone, roll), shown(gone, fresh, roll)},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := readme(t, c.before)
			for range 2 { // the second time changes nothing
				if err := writeFigure(path, "rate", "new\n"); err != nil {
					t.Fatal(err)
				}
				if got := contents(t, path); got != c.after {
					t.Errorf("got %q, want %q", got, c.after)
				}
			}
		})
	}
}

// TestWriteFigureLeavesWhatItCannotRead alone.
func TestWriteFigureLeavesWhatItCannotRead(t *testing.T) {
	for _, text := range []string{
		"none\n", figuresBegin + "no end\n", "no begin\n" + figuresEnd,
		figuresBegin + "of no figure\n" + figuresEnd,
		figuresBegin + "<!-- figure rate\nnot closed\n" + figuresEnd,
		figuresBegin + "<!-- figure rate -->\n1\n<!-- figure rate -->\n2\n" + figuresEnd,
	} {
		path := readme(t, text)
		if err := writeFigure(path, "rate", "new\n"); err == nil {
			t.Errorf("%q: no error", text)
		}
		if got := contents(t, path); got != text {
			t.Errorf("%q: changed to %q", text, got)
		}
	}
}

// TestReadmeTakesFigures has every figure find its place in our own, whose
// figures are those that are taken, in their order.
func TestReadmeTakesFigures(t *testing.T) {
	text := contents(t, "README.md")
	_, rest, _ := strings.Cut(text, figuresBegin)
	shown, _, _ := strings.Cut(rest, figuresEnd)
	var in []string
	for _, part := range strings.Split(shown, figureMark)[1:] {
		name, _, _ := strings.Cut(part, markEnd)
		in = append(in, name)
	}
	order := figureNames()
	known := slices.DeleteFunc(slices.Clone(order), func(name string) bool { return !slices.Contains(in, name) })
	if len(in) == 0 || !slices.Equal(in, known) {
		t.Errorf("README.md has the figures %q, which are to be of %q", in, order)
	}
	path := readme(t, text)
	for _, name := range order {
		if err := writeFigure(path, name, "new\n"); err != nil {
			t.Error(err)
		}
	}
}

// readme writes a file for figures.
func readme(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
