package supervisor

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/pool"
	"golang.org/x/sys/unix"
)

// A target that is understood names what it says, and no other.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"", "web", "web.2", "web.", ".2", "web.-1", "web.+1", "web.007", "a.b.1", "web.99999999999999999999", "web. 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		program, slot, err := parseTarget(target)
		if err != nil {
			if unknown, ok := errors.AsType[*control.UnknownTarget](err); !ok || unknown.Target != target || program != "" {
				t.Fatalf("%q: %v, %q", target, err, program)
			}
			return
		}
		said := program
		if slot >= 0 {
			said = worker(program, slot)
		}
		if again, n, err := parseTarget(said); err != nil || again != program || n != slot || slot < -1 || strings.Contains(program, ".") {
			t.Fatalf("%q is %q and %d, said again %q and %d, %v", target, program, slot, again, n, err)
		}
	})
}

// A request is either a command of the core with the request's token, or
// refused in words.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{
		`{"verb":"stop","target":"web.2","now":true}`, `{"verb":"drain"}`, `{"verb":"restart","hard":true}`,
		`{"verb":"scale","target":"web","workers":-5}`, `{"verb":"scale","target":"web.1","workers":5}`, `{"verb":"levitate"}`,
	} {
		f.Add([]byte(s))
	}
	core := func() *pool.Pool { return pool.New([]pool.Program{{Name: "web", Workers: 1, MaxSurge: 1}}, 1) }
	f.Fuzz(func(t *testing.T, body []byte) {
		var r control.Request
		if json.Unmarshal(body, &r) != nil || r.Workers > 1000 {
			return
		}
		e, err := event(7, r)
		if (e == nil) == (err == nil) || err != nil && err.Error() == "" {
			t.Fatalf("%s: %v and %v", body, e, err)
		}
		if err != nil {
			return
		}
		if token := reflect.ValueOf(e).FieldByName("Token").Int(); token != 7 {
			t.Fatalf("%s: token %d", body, token)
		}
		core().Step(time.Unix(0, 0), e) // whatever it names, the core must take it
	})
}

// A signal that is understood has a number that there is, and is understood
// by its name too.
func FuzzParseSignal(f *testing.F) {
	for _, s := range []string{"USR1", "SIGUSR1", "sigterm", "10", "0", "65", "-1", "+1", "SIGSIGHUP", "SIG", "", "34"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sig, err := parseSignal(s)
		if err != nil {
			if sig != 0 || strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Fatalf("%q: %v and %d", s, err, sig)
			}
			return
		}
		if sig < 1 || sig > 64 {
			t.Fatalf("%q is %d", s, sig)
		}
		if name := unix.SignalName(sig); name != "" {
			if again, err := parseSignal(name); err != nil || again != sig {
				t.Fatalf("%q is %s, which is %d, %v", s, name, again, err)
			}
		}
	})
}
