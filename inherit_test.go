package lastcall

import (
	"strings"
	"testing"

	"github.com/lastcall/lastcall/internal/wire"
)

// Whatever is in the environment: a name for each socket, or an error in one
// line that names the variable. Nothing there may end the process.
func FuzzActivated(f *testing.F) {
	f.Add("2", "web:admin")
	f.Add("2", "web")
	f.Add("1", "a:b:c")
	f.Add("0", "")
	f.Add("-1", "x")
	f.Add("", "")
	f.Add("99999999999999999999", "")
	f.Add("4611686018427387904", "more than there is memory for")
	f.Fuzz(func(t *testing.T, count, names string) {
		if strings.ContainsRune(count+names, 0) {
			t.Skip() // no environment holds it
		}
		t.Setenv(wire.EnvListenFDs, count)
		t.Setenv(wire.EnvListenFDNames, names)
		got, err := activated()
		if err != nil {
			if text := err.Error(); got != nil || !strings.Contains(text, wire.EnvListenFDs) || strings.ContainsAny(text, "\n\r") {
				t.Fatalf("%q %q: %q and %v", count, names, got, err)
			}
			return
		}
		if len(got) > 1<<20 {
			t.Fatalf("%q is %d sockets", count, len(got))
		}
		given := strings.Split(names, ":")
		for i, name := range got {
			if i < len(given) && name != given[i] || i >= len(given) && name != "" {
				t.Fatalf("%q %q: socket %d is %q", count, names, i, name)
			}
		}
	})
}

// A ping is due never, or within the time that was said.
func FuzzWatchdog(f *testing.F) {
	for _, s := range []string{"1000000", "0", "-1", "", "x", "1", "99999999999999999999", "9227000000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, usec string) {
		if strings.ContainsRune(usec, 0) {
			t.Skip() // no environment holds it
		}
		t.Setenv(wire.EnvWatchdogUsec, usec)
		if d := watchdog(); d < 0 {
			t.Fatalf("%q: every %v", usec, d)
		}
	})
}
