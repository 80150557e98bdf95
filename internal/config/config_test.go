package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/gate/redis"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/supervisor"
	"github.com/lastcall/lastcall/internal/wire"
)

// kinds are what the command passes.
func kinds() map[string]gate.Kind {
	all := gate.Kinds()
	all["redis"] = redis.Kind()
	return all
}

// yard makes a directory with executables in it and in a PATH, goes there, and
// returns it.
func yard(t testing.TB) string {
	t.Helper()
	dir := furnished(t)
	t.Chdir(dir)
	return dir
}

// furnished is yard without going there.
func furnished(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"server", "shop", "sub/server", "bin/redis-server", "bin/redis-cli", "other/special"} {
		write(name, 0o755)
	}
	write("plain", 0o644)
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	return dir
}

// load writes a file and loads it.
func load(t testing.TB, text string) (supervisor.Config, error) {
	t.Helper()
	if err := os.WriteFile(DefaultFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Flags{}, kinds())
}

// plain is the program a file with nothing but a command gives.
func plain(dir, name string) supervisor.Program {
	return supervisor.Program{
		Name: name, Command: []string{"./server"}, Path: dir + "/server", Workers: 1,
		ReadyTimeout: time.Minute, MinUptime: time.Second,
		StopSignal: syscall.SIGTERM, StopTimeout: 10 * time.Second,
		Drain: wire.WaitAll, DrainTimeout: 25 * time.Second,
		Restart: "always", MaxRestarts: 10, RestartWindow: time.Minute, MaxSurge: 1,
	}
}

func TestDefaults(t *testing.T) {
	dir := yard(t)
	got, err := load(t, "[program.web]\ncommand = ['./server']\n")
	want := supervisor.Config{Name: sanitize(filepath.Base(dir)), Programs: []supervisor.Program{plain(dir, "web")}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

const everyKey = `
name = "siege"
pidfile = "siege.pid"
socket = "/run/siege.sock"
log = "siege.log"

[program.web]
command = "../server -a 'b c' \"d\\\"e\" f\\ g"
workers = 0
listen = ["web", "./own.sock", ":0", "127.0.0.1:0"]
listen_env = ["einhorn"]
depends_on = "redis"
dir = "sub"
env.PATH = "../other"
env.EMPTY = ""
ready = { file = "ready-{slot}", every = "10ms", timeout = "1s" }
ready_timeout = "2m"
min_uptime = "0s"
close_signal = "WINCH"
stop_signal = ["sigquit", "10s", "TERM", "1m", "int"]
stop_command = ["special", ""]
stop_timeout = "3s"
drain = "critical"
drain_timeout = "5m"
drain_timeout_max = "6m"
unwind_timeout = "1ms"
fresh_grace = "2ms"
expendable_grace = "3ms"
stall_timeout = "4ms"
lame_duck = "5s"
lame_duck_quiet = "1s"
max_restarts = 0
restart_window = "1h30m"
max_surge = 0
max_draining = 3
restart = "on-failure"
max_requests = 10
max_requests_jitter = 11
max_age = "12h"
max_age_jitter = "13m"
max_memory = "1.5GB"
max_memory_jitter = "15MB"
watchdog = "14s"
user = "12:34"
balance = "shared"
port_base = 9000
[[program.web.gate]]
redis = "redis://u:p@h:1"
sorted_set = "locks:{worker}"
every = "5s"
[[program.web.gate]]
exec = "./server --quiet now"

[listen]
web = "127.0.0.1:8080"
admin = { address = "/run/admin.sock", mode = "0660" }
multi.address = "[::1]:81"
multi.mptcp = true

[program.redis]
command = ["redis-server"]
ready = { tcp = "127.0.0.1:{slot}1" }
gate = { http = "http://127.0.0.1:{slot}1/x" }
`

func TestEveryKey(t *testing.T) {
	dir := yard(t)
	text, user := everyKey, "12:34"
	if os.Geteuid() != 0 { // who cannot choose
		text, user = strings.Replace(text, "user = \"12:34\"\n", "", 1), ""
	}
	got, err := load(t, text)
	web := supervisor.Program{
		Name: "web", Command: []string{"../server", "-a", "b c", `d"e`, "f g"}, Path: dir + "/server",
		Env: []string{"PATH=../other", "EMPTY="}, Dir: dir + "/sub", User: user, Workers: runtime.GOMAXPROCS(0),
		Listen: []string{"web", "web-2", "web-3", "web-4"}, ListenEnv: []wire.Family{wire.Einhorn}, DependsOn: []string{"redis"},
		Ready:        &gate.Spec{Kind: "file", Target: dir + "/sub/ready-{slot}", Every: 10 * time.Millisecond, Timeout: time.Second},
		ReadyTimeout: 2 * time.Minute,
		Gates: []gate.Spec{
			{Kind: "redis", Gate: true, Target: "redis://u:p@h:1", Keys: map[string]string{"sorted_set": "locks:{worker}"}, Every: 5 * time.Second},
			{Kind: "exec", Gate: true, Target: "./server --quiet now", Args: []string{dir + "/sub/server", "--quiet", "now"}},
		},
		CloseSignal: syscall.SIGWINCH, StopSignal: syscall.SIGQUIT,
		StopSteps:   []supervisor.StopStep{{After: 10 * time.Second, Signal: syscall.SIGTERM}, {After: time.Minute, Signal: syscall.SIGINT}},
		StopCommand: []string{dir + "/other/special", ""}, StopTimeout: 3 * time.Second,
		Drain: wire.WaitCritical, DrainTimeout: 5 * time.Minute, DrainTimeoutMax: 6 * time.Minute,
		UnwindTimeout: time.Millisecond, FreshGrace: 2 * time.Millisecond, ExpendableGrace: 3 * time.Millisecond, StallTimeout: 4 * time.Millisecond,
		LameDuck: 5 * time.Second, LameDuckQuiet: time.Second,
		Balance: "shared", PortBase: 9000, Restart: "on-failure", RestartWindow: 90 * time.Minute, MaxDraining: 3,
		MaxRequests: 10, MaxRequestsJitter: 11, MaxAge: 12 * time.Hour, MaxAgeJitter: 13 * time.Minute,
		MaxMemory: 1_500_000_000, MaxMemoryJitter: 15_000_000, Watchdog: 14 * time.Second,
	}
	helper := plain(dir, "redis")
	helper.Command, helper.Path = []string{"redis-server"}, dir+"/bin/redis-server"
	helper.Ready = &gate.Spec{Kind: "tcp", Target: "127.0.0.1:{slot}1"}
	helper.Gates = []gate.Spec{{Kind: "http", Gate: true, Target: "http://127.0.0.1:{slot}1/x"}}
	want := supervisor.Config{
		Name: "siege", PIDFile: "siege.pid", Socket: "/run/siege.sock", Log: "siege.log",
		Listeners: []supervisor.Listener{
			{Name: "web", Address: sock.Address{Network: "tcp", Address: "127.0.0.1:8080"}, Where: "lastcall.toml:55"},
			{Name: "admin", Address: sock.Address{Network: "unix", Address: "/run/admin.sock"}, Mode: 0o660, Where: "lastcall.toml:56"},
			{Name: "multi", Address: sock.Address{Network: "tcp", Address: "[::1]:81"}, MPTCP: true, Where: "lastcall.toml:57"},
			{Name: "web-2", Address: sock.Address{Network: "unix", Address: "./own.sock"}, Where: "lastcall.toml:10"},
			{Name: "web-3", Address: sock.Address{Network: "tcp", Address: ":0"}, Where: "lastcall.toml:10"},
			{Name: "web-4", Address: sock.Address{Network: "tcp", Address: "127.0.0.1:0"}, Where: "lastcall.toml:10"},
		},
		Programs: []supervisor.Program{web, helper},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	// The sample is what its name says.
	root, err := parse("", []byte(everyKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range names((&loader{}).newDraft("", place{}).keys()) {
		if root.get("program").get("web").get(k) == nil {
			t.Errorf("the sample lacks %s", k)
		}
	}
}

func TestFlagsWin(t *testing.T) {
	yard(t)
	text := "name = 'a'\npidfile = 'b'\nsocket = 'c'\n[program.web]\ncommand = './server'\n"
	if err := os.WriteFile("other.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(Flags{File: "other.toml"}, nil)
	if err != nil || got.Name != "a" || got.PIDFile != "b" || got.Socket != "c" {
		t.Errorf("%v, %q %q %q", err, got.Name, got.PIDFile, got.Socket)
	}
	got, err = Load(Flags{File: "other.toml", Name: "x", PIDFile: "y", Socket: "z"}, nil)
	if err != nil || got.Name != "x" || got.PIDFile != "y" || got.Socket != "z" {
		t.Errorf("%v, %q %q %q", err, got.Name, got.PIDFile, got.Socket)
	}
}

func TestCommand(t *testing.T) {
	dir := yard(t)
	server := func(change func(*supervisor.Program)) []supervisor.Program {
		p := plain(dir, "server")
		change(&p)
		return []supervisor.Program{p}
	}
	for _, test := range []struct {
		name  string
		flags Flags
		want  supervisor.Config
	}{
		{"alone", Flags{Command: []string{"./server"}}, supervisor.Config{Name: "server", Programs: server(func(*supervisor.Program) {})}},
		{"workers by CPU", Flags{Command: []string{"./server"}, WorkersSet: true}, supervisor.Config{
			Name: "server", Programs: server(func(p *supervisor.Program) { p.Workers = runtime.GOMAXPROCS(0) }),
		}},
		{"all", Flags{
			Command: []string{"./server", "-x", ""}, Name: "n", Workers: 3, WorkersSet: true, DrainTimeout: time.Hour, StopSignal: "INT",
			PIDFile: "p", Socket: "s", Listen: []string{":1", "web=:2", ":3", "unix:/a=b"},
		}, supervisor.Config{
			Name: "n", PIDFile: "p", Socket: "s",
			Listeners: []supervisor.Listener{
				{Name: "server", Address: sock.Address{Network: "tcp", Address: ":1"}, Where: "--listen"},
				{Name: "web", Address: sock.Address{Network: "tcp", Address: ":2"}, Where: "--listen"},
				{Name: "server-2", Address: sock.Address{Network: "tcp", Address: ":3"}, Where: "--listen"},
				{Name: "server-3", Address: sock.Address{Network: "unix", Address: "/a=b"}, Where: "--listen"},
			},
			Programs: server(func(p *supervisor.Program) {
				p.Command, p.Workers, p.DrainTimeout, p.StopSignal = []string{"./server", "-x", ""}, 3, time.Hour, syscall.SIGINT
				p.Listen = []string{"server", "web", "server-2", "server-3"}
			}),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Load(test.flags, nil)
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		})
	}
}

func TestNamesOfCommands(t *testing.T) {
	for from, want := range map[string]string{
		"web": "web", "My.Server": "my-server", "a b": "a-b", "--x--": "x", "...": "program", "": "program", "/": "program", "é1": "1", "a_b-9": "a_b-9",
	} {
		got := sanitize(from)
		if got != want || badName(got) != "" {
			t.Errorf("sanitize(%q) = %q, want %q; %s", from, got, want, badName(got))
		}
	}
}
