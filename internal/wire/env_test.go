package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lookup reads variables as os.LookupEnv would.
func lookup(env []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, e := range env {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v, true
			}
		}
		return "", false
	}
}

func TestEnvComesBack(t *testing.T) {
	for _, e := range []Env{
		{},
		{Program: "web", Workers: 1},
		{Program: "a.b", Slot: 3, Workers: 4, Generation: 7, Life: 19, Port: 8003, Channel: 5, Notify: "/run/x/notify"},
		{Program: "web", Listeners: []Listener{{"web", "tcp", "[::]:8080"}, {"admin", "unix", "/run/a=b.sock"}, {"x", "unix", "@name"}}},
	} {
		env := e.Encode()
		if e.Program == "" {
			env = nil
		}
		got, err := ParseEnv(lookup(env))
		if diff := cmp.Diff(e, got); err != nil || diff != "" {
			t.Errorf("%q: error %v (-want +got):\n%s", env, err, diff)
		}
	}
}

// What programs in other languages are promised, word for word.
func TestEnvIsSystemds(t *testing.T) {
	e := Env{
		Program: "web", Slot: 2, Workers: 4, Generation: 7, Life: 19, Port: 8002, Channel: 5, Notify: "@n",
		DrainTimeout: 25 * time.Second, Watchdog: 1500 * time.Millisecond,
		Listeners: []Listener{{"web", "tcp", "127.0.0.1:8080"}, {"admin", "unix", "/run/a.sock"}},
	}
	want := []string{
		"LASTCALL_WORKER=web.2", "LASTCALL_SLOT=2", "LASTCALL_WORKERS=4", "LASTCALL_GENERATION=7", "LASTCALL_LIFE=19", "LASTCALL_PORT=8002",
		"LASTCALL_LISTENERS=web=tcp:127.0.0.1:8080;admin=unix:/run/a.sock",
		"LISTEN_FDS=2", "LISTEN_FDNAMES=web:admin", "LASTCALL_CHANNEL=5", "NOTIFY_SOCKET=@n",
		"WATCHDOG_USEC=1500000", "LASTCALL_DRAIN_USEC=25000000",
	}
	if diff := cmp.Diff(want, e.Encode()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	bare := Env{Program: "job"}.Encode()
	want = []string{"LASTCALL_WORKER=job.0", "LASTCALL_SLOT=0", "LASTCALL_WORKERS=0", "LASTCALL_GENERATION=0", "LASTCALL_LIFE=0", "LASTCALL_LISTENERS="}
	if diff := cmp.Diff(want, bare); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseEnvErrors(t *testing.T) {
	for _, c := range []struct{ env, problem string }{
		{"LASTCALL_WORKER=web", `parse LASTCALL_WORKER: "web" is not PROGRAM.SLOT`},
		{"LASTCALL_WORKER=.2", `parse LASTCALL_WORKER: ".2" is not PROGRAM.SLOT`},
		{"LASTCALL_WORKER=web.x", `parse LASTCALL_WORKER: "web.x" is not PROGRAM.SLOT`},
		{"LASTCALL_WORKER=web.-1", `parse LASTCALL_WORKER: "web.-1" is not PROGRAM.SLOT`},
		{"LASTCALL_WORKER=web.1 LASTCALL_CHANNEL=five", `parse LASTCALL_CHANNEL: "five" is not a number`},
		{"LASTCALL_WORKER=web.1 LASTCALL_WORKERS=-4", `parse LASTCALL_WORKERS: "-4" is not a number`},
		{"LASTCALL_WORKER=web.1 LASTCALL_LISTENERS=web", `parse LASTCALL_LISTENERS: "web" is not NAME=NETWORK:ADDRESS`},
		{"LASTCALL_WORKER=web.1 LASTCALL_LISTENERS=web=tcp", `parse LASTCALL_LISTENERS: "web=tcp" is not NAME=NETWORK:ADDRESS`},
		{"LASTCALL_WORKER=web.1 LASTCALL_LISTENERS=;", `parse LASTCALL_LISTENERS: "" is not NAME=NETWORK:ADDRESS`},
	} {
		e, err := ParseEnv(lookup(strings.Fields(c.env)))
		if err == nil || err.Error() != c.problem {
			t.Errorf("%s: %+v, %v; want %s", c.env, e, err, c.problem)
		}
	}
}

// Whatever the values: no panic, and what was understood can be said again.
func FuzzParseEnv(f *testing.F) {
	f.Add("web.2", "4", "7", "5", "web=tcp::80;a=unix:/a=b", "/run/n")
	f.Add("a.b.0", "", "", "", "", "")
	f.Add("", "x", "-1", "99999999999999999999", ";;=:", "\x00")
	f.Add("web.+2", "007", "+7", "0", "=tcp:x", "@")
	f.Fuzz(func(t *testing.T, worker, workers, generation, channel, listeners, notify string) {
		values := map[string]string{
			EnvWorker: worker, EnvWorkers: workers, EnvGeneration: generation,
			EnvChannel: channel, EnvListeners: listeners, EnvNotifySocket: notify,
		}
		e, err := ParseEnv(func(name string) (string, bool) { v, ok := values[name]; return v, ok })
		if err != nil {
			if diff := cmp.Diff(Env{}, e); diff != "" {
				t.Fatalf("an error and %s", diff)
			}
			return
		}
		if e.Program == "" {
			return
		}
		again, err := ParseEnv(lookup(e.Encode()))
		if diff := cmp.Diff(e, again); err != nil || diff != "" {
			t.Fatalf("%v (-first +second):\n%s", err, diff)
		}
	})
}
