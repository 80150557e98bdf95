package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/lastcall/lastcall/internal/gate"
)

// FuzzLoad wants an *Error of one line about the file that it was given, or a
// configuration, whatever the bytes.
func FuzzLoad(f *testing.F) {
	f.Add(sample(f))
	f.Add(everyKey)
	f.Add(web + "[[program.web.gate]]\nexec = \"./server 'a b'\"\n[[program.web.gate]]\nfile = 'x'\n")
	f.Add("a.b.c = [1, [2, {x = 1}], 2020-01-01, nan, 0x1f]\n'q r'.\"s\\n\" = '''\n'''\n[[t]]\n[[t.u]]\n[t.u.v]\n")
	f.Add("[program.web]\ncommand = ['./server']\n[program.web]\n")
	f.Add("x = \"\\uD800\"\n")
	dir, kinds := furnished(f), kinds()
	f.Fuzz(func(t *testing.T, text string) {
		// Here and not before: fuzzing starts more processes like this one,
		// in its directory.
		t.Chdir(dir)
		// Names of users are looked up in the system, whatever they are.
		if strings.Contains(text, "user") {
			t.Skip()
		}
		loadAny(t, text, kinds)
	})
}

func loadAny(t *testing.T, text string, kinds map[string]gate.Kind) {
	if err := os.WriteFile("fuzz.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Flags{File: "fuzz.toml"}, kinds)
	if err == nil {
		if len(c.Programs) == 0 || c.Name == "" {
			t.Errorf("neither an error nor a configuration: %+v", c)
		}
		Unbudgeted(c)
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("a %T: %v", err, err)
	}
	if lines := strings.Count(text, "\n") + 1; e.File != "fuzz.toml" || e.Line < 0 || e.Line > lines || e.Problem == "" {
		t.Errorf("%+v, and the file has %d lines", e, lines)
	}
	if s := e.Error(); strings.ContainsAny(s, "\n\r\x00\x1b\u2028") {
		t.Errorf("more than one line: %q", s)
	}
}
