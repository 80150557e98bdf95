package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Words that are quoted, each in one of the three ways, come back.
func FuzzSplit(f *testing.F) {
	f.Add("a 'b c' \"d\\\"\"", "./server", "it's", `\`)
	f.Add("'", "", " ", "\n")
	f.Add("\\", "$HOME", "\"", "é")
	f.Fuzz(func(t *testing.T, any, a, b, c string) {
		if slices.ContainsFunc([]string{any, a, b, c}, func(s string) bool { return !utf8.ValidString(s) }) {
			t.Skip() // no configuration holds it
		}
		words, err := split(any)
		if err != nil && (words != nil || strings.ContainsAny(err.Error(), "\n\r")) {
			t.Fatalf("%q: %q and %v", any, words, err)
		}
		single := "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		double := `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(b) + `"`
		var bare strings.Builder
		for _, r := range []byte(c) {
			if r < 0x80 {
				bare.WriteByte('\\')
			}
			bare.WriteByte(r)
		}
		want := []string{a, b, c}
		if c == "" {
			want = want[:2]
		}
		if got, err := split(single + " " + double + "\t" + bare.String()); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%s %s %s: %q, %v; want %q", single, double, &bare, got, err, want)
		}
	})
}

// Flags give a configuration with what they say, or an error of one line that
// names the flag or the command.
func FuzzFlags(f *testing.F) {
	f.Add("web=127.0.0.1:80", "TERM", 4)
	f.Add(":8080", "sigusr1", 0)
	f.Add("=", "KILL", -1)
	f.Add("a=b=c", "", 1)
	f.Add("unix:@x", "\n", 1<<31)
	f.Add("web=;\n", "SIG", 99999)
	dir, kinds := furnished(f), kinds()
	f.Fuzz(func(t *testing.T, listen, signal string, workers int) {
		t.Chdir(dir)
		c, err := Load(Flags{Command: []string{"./server"}, Listen: []string{listen}, StopSignal: signal, Workers: workers, WorkersSet: true}, kinds)
		if err == nil {
			if len(c.Programs) != 1 || len(c.Listeners) != 1 || c.Listeners[0].Name == "" || c.Listeners[0].Address.Network == "" || c.Programs[0].Workers < 1 || c.Programs[0].StopSignal == 0 {
				t.Fatalf("%q %q %d: %+v", listen, signal, workers, c)
			}
			return
		}
		usage, isUsage := errors.AsType[*UsageError](err)
		wrong, isWrong := errors.AsType[*Error](err)
		if !isUsage && !isWrong || isUsage && usage.Flag == "" || isWrong && wrong.Key == "" || strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
			t.Fatalf("%q %q %d: %#v", listen, signal, workers, err)
		}
	})
}
