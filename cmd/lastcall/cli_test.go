package main

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// The manual names every verb and flag, and none that is not there.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/command.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	c := &cli{stdout: io.Discard, stderr: io.Discard}
	root := c.root()
	flags := []string{"help"}
	note := func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f.Name)
		}
	}
	root.PersistentFlags().VisitAll(note)
	for _, verb := range root.Commands() {
		verb.Flags().VisitAll(note)
		if !strings.Contains(manual, "`"+verb.Use+"`") && !strings.Contains(manual, "    lastcall "+verb.Use+"\n") {
			t.Errorf("docs/command.md does not show: lastcall %s", verb.Use)
		}
	}
	for _, f := range flags {
		if !strings.Contains(manual, "--"+f) {
			t.Errorf("docs/command.md does not mention --%s", f)
		}
	}
	for _, used := range regexp.MustCompile("[ `]--([a-z][a-z-]*)").FindAllStringSubmatch(manual, -1) {
		if !slices.Contains(flags, used[1]) && !slices.Contains([]string{"unix-socket", "no-buffer"}, used[1]) { // curl's
			t.Errorf("docs/command.md mentions --%s, which no verb has", used[1])
		}
	}
}

// A verb shows its own flags in the line that says how it is called: that line
// is the whole of some errors.
func TestUseNamesFlags(t *testing.T) {
	c := &cli{stdout: io.Discard, stderr: io.Discard}
	for _, verb := range c.root().Commands() {
		if strings.Contains(verb.Use, "flags") {
			continue // run and check have too many
		}
		verb.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(verb.Use, "--"+f.Name) {
				t.Errorf("%q lacks --%s", verb.Use, f.Name)
			}
		})
		if verb.RunE == nil || verb.Args == nil || verb.Long == "" {
			t.Errorf("%q does not say what it takes or does", verb.Use)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                     "0.0s",
		49 * time.Millisecond:                 "0.0s",
		1234 * time.Millisecond:               "1.2s",
		9949 * time.Millisecond:               "9.9s",
		9950 * time.Millisecond:               "10s",
		59*time.Second + 600*time.Millisecond: "1m0s",
		47*time.Hour + 59*time.Minute:         "47h59m0s",
		48 * time.Hour:                        "2d0h",
		1000*time.Hour + 59*time.Minute:       "41d16h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}

// What a pipe or a file is given must not be meant for eyes.
func TestIsTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, out := range []io.Writer{null, w, io.Discard} {
		if isTerminal(out) {
			t.Errorf("%v is taken for a terminal", out)
		}
	}
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	defer tty.Close()
	if !isTerminal(tty) {
		t.Error("a terminal is not taken for one")
	}
}
