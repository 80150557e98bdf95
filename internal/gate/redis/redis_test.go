package redis

import (
	"bufio"
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/lastcall/lastcall/internal/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened checks and opens a Spec of this kind and closes it with the test.
func opened(t *testing.T, s gate.Spec) gate.Question {
	t.Helper()
	s.Kind = "redis"
	k := Kind()
	if err := k.Check(s); err != nil {
		t.Fatalf("Check(%v) = %v", s, err)
	}
	q, err := k.Open(s)
	if err != nil {
		t.Fatalf("Open(%v) = %v", s, err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return q
}

func collection(typ, name string) map[string]string { return map[string]string{typ: name} }

func TestGate(t *testing.T) {
	m := miniredis.RunT(t)
	m.ZAdd("locks:web.2", 1, "a")
	m.ZAdd("locks:web.2", 2, "b")
	for i, name := range []string{"e", "d", "c", "b", "a"} {
		m.ZAdd("many", float64(i), name)
		m.SAdd("set", name)
		m.RPush("list", name)
		m.HSet("hash", name, "value")
	}
	m.Set("key", "17 jobs")
	m.Set("empty", "")
	m.Set("long", strings.Repeat("x", 1000))
	for _, test := range []struct{ typ, name, want string }{
		{"sorted_set", "absent", ""},
		{"sorted_set", "locks:web.2", "locks:web.2: a, b (2 in all)"},
		{"sorted_set", "many", "many: e, d, c, ... (5 in all)"},
		{"set", "absent", ""},
		{"set", "set", "set: a, b, c, ... (5 in all)"},
		{"list", "absent", ""},
		{"list", "list", "list: e, d, c, ... (5 in all)"},
		{"hash", "absent", ""},
		{"hash", "hash", "hash: a, b, c, ... (5 in all)"},
		{"key", "absent", ""},
		{"key", "empty", ""},
		{"key", "key", "key: 17 jobs"},
		{"key", "long", "long: " + strings.Repeat("x", 60)},
	} {
		q := opened(t, gate.Spec{Target: "redis://" + m.Addr(), Gate: true, Keys: collection(test.typ, test.name)})
		if got, err := q.Ask(t.Context()); got != test.want || err != nil {
			t.Errorf("%s %s: %q, %v; want %q", test.typ, test.name, got, err, test.want)
		}
	}
	q := opened(t, gate.Spec{Target: "redis://" + m.Addr(), Gate: true, Keys: collection("set", "list")})
	if got, err := q.Ask(t.Context()); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("another type: %q, %v; want an error, never go", got, err)
	}
}

func TestGateOpensWhenTheLockIsReleased(t *testing.T) {
	m := miniredis.RunT(t)
	m.ZAdd("locks", 1, "a")
	q := opened(t, gate.Spec{Target: "redis://" + m.Addr(), Gate: true, Keys: collection("sorted_set", "locks")})
	if got, err := q.Ask(t.Context()); got == "" || err != nil {
		t.Fatalf("%q, %v; want to wait", got, err)
	}
	if _, err := m.ZRem("locks", "a"); err != nil {
		t.Fatal(err)
	}
	if got, err := q.Ask(t.Context()); got != "" || err != nil {
		t.Errorf("%q, %v; want go", got, err)
	}
}

func TestDatabaseOfTheURL(t *testing.T) {
	m := miniredis.RunT(t)
	if _, err := m.DB(3).SetAdd("locks", "a"); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{"/0": "", "/3": "locks: a (1 in all)"} {
		q := opened(t, gate.Spec{Target: "redis://" + m.Addr() + target, Gate: true, Keys: collection("set", "locks")})
		if got, err := q.Ask(t.Context()); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", target, got, err, want)
		}
	}
}

// A connection that stays would be one that redis has to end when it stops.
func TestNoConnectionStays(t *testing.T) {
	m := miniredis.RunT(t)
	q := opened(t, gate.Spec{Target: "redis://" + m.Addr()})
	for range 3 {
		if got, err := q.Ask(t.Context()); got != "" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	limit := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for m.CurrentConnectionCount() > 0 {
		select {
		case <-limit:
			t.Fatalf("%d connections are left", m.CurrentConnectionCount())
		case <-tick.C:
		}
	}
}

// A dead redis is "not yet", the same redis come back is asked again: one
// failed asking must not spoil the next.
func TestRestartOfRedis(t *testing.T) {
	m := miniredis.RunT(t)
	for _, s := range []gate.Spec{
		{Target: "redis://" + m.Addr()},
		{Target: "redis://" + m.Addr(), Gate: true, Keys: collection("set", "locks")},
	} {
		q := opened(t, s)
		for range 3 {
			if got, err := q.Ask(t.Context()); got != "" || err != nil {
				t.Errorf("%v: %q, %v; want go", s, got, err)
			}
			m.Close()
			for range 3 {
				if got, err := q.Ask(t.Context()); err == nil {
					t.Errorf("%v with no redis: %q, nil", s, got)
				}
			}
			if err := m.Restart(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPassword(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireAuth("hunter2")
	q := opened(t, gate.Spec{Target: "redis://:hunter2@" + m.Addr()})
	if got, err := q.Ask(t.Context()); got != "" || err != nil {
		t.Errorf("the right password: %q, %v", got, err)
	}
	for _, user := range []string{"", "x:hunter3@", ":hunter3@"} {
		q := opened(t, gate.Spec{Target: "redis://" + user + m.Addr()})
		got, err := q.Ask(t.Context())
		if err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: %q, %v; want an error without the password", user, got, err)
		}
	}
	m.Close()
	if got, err := q.Ask(t.Context()); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("%q, %v; want an error without the password", got, err)
	}
}

// A redis that reads its dump answers every command but few with LOADING.
func TestLoading(t *testing.T) {
	addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		for in := bufio.NewScanner(c); in.Scan(); {
			// Each command ends with its last argument; those of the probe end so.
			switch strings.ToLower(in.Text()) {
			case "2", "ping", "locks":
				if _, err := c.Write([]byte("-LOADING Redis is loading the dataset in memory\r\n")); err != nil {
					return
				}
			}
		}
	})
	for _, s := range []gate.Spec{
		{Target: "redis://" + addr},
		{Target: "redis://" + addr, Gate: true, Keys: collection("set", "locks")},
	} {
		if got, err := opened(t, s).Ask(t.Context()); got != "redis is loading its data" || err != nil {
			t.Errorf("%v: %q, %v", s, got, err)
		}
	}
}

func TestSilence(t *testing.T) {
	silent := func(c net.Conn) { bufio.NewScanner(c).Scan(); <-t.Context().Done() }
	for _, target := range []string{
		"redis://" + serve(t, "tcp", "127.0.0.1:0", silent),
		"rediss://" + serve(t, "tcp", "127.0.0.1:0", silent),
		"unix://" + serve(t, "unix", filepath.Join(t.TempDir(), "s"), silent),
	} {
		q := opened(t, gate.Spec{Target: target, Timeout: 50 * time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		got, err := q.Ask(ctx)
		cancel()
		if took := time.Since(start); err == nil || took > time.Minute {
			t.Errorf("%s: %q, %v after %v", target, got, err, took)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for want, s := range map[string]gate.Spec{
		`must be a URL, as "redis://127.0.0.1:6379/0"`:                                                           {Target: "127.0.0.1:6379"},
		`must be a URL, as "redis://127.0.0.1:6379/0"; special characters in a password must be percent-encoded`: {Target: "redis://x:hunt/er2@h:1"},
		`a probe asks PING and nothing else; only a gate looks at a collection`:                                  {Target: "redis://h", Keys: collection("set", "x")},
		`needs exactly one of sorted_set, set, list, hash and key, as sorted_set = "locks:{worker}"; it has 0`:   {Target: "redis://h", Gate: true},
		`needs exactly one of sorted_set, set, list, hash and key, as sorted_set = "locks:{worker}"; it has 2`:   {Target: "redis://h", Gate: true, Keys: map[string]string{"set": "a", "list": "b"}},
		`set names nothing`: {Target: "redis://h", Gate: true, Keys: collection("set", "")},
	} {
		if err := Kind().Check(s); err == nil || err.Error() != want {
			t.Errorf("Check(%v) = %v, want %s", s, err, want)
		}
	}
	for _, target := range []string{"", "redis://x:12/hunter2@h", "redis://h/x", "redis://h:x", "redis://h?hunter2=1", "://", "redis://:hunter%zz@h", "http://h"} {
		err := Kind().Check(gate.Spec{Target: target})
		if err == nil || strings.Contains(err.Error(), "hunt") {
			t.Errorf("Check(%q) = %v", target, err)
		}
		if q, err := Kind().Open(gate.Spec{Target: target}); err == nil {
			t.Errorf("Open(%q) = %v", target, q)
		}
	}
}

// serve lets f talk with each connection until the test ends, and returns
// the address.
func serve(t *testing.T, network, address string, f func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return ln.Addr().String()
}
