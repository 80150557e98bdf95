package main

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
)

func TestMain(m *testing.M) {
	proc.Shim() // the executable of a supervisor under test is this one
	testscript.Main(m, map[string]func(){"lastcall": main, "server": server, "worker": playWorker, "brisk": playBrisk, "foreign": playForeign, "single": playSingle, "herald": playHerald, "strict": playStrict})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"supervise": supervise,
			"status":    status,
			"await":     await,
			"get":       get,
			"port":      port,
			"occupy":    occupy,
			"expand":    expand,
		},
		Setup: func(e *testscript.Env) error {
			// Nothing of the machine's own, nor of another script's.
			e.Setenv("XDG_RUNTIME_DIR", "")
			e.Setenv("RUNTIME_DIRECTORY", "")
			e.Setenv("LASTCALL_SOCKET", "")
			return nil
		},
	})
}

// supervise PATH answers on a control socket, as a fake, until the script ends.
func supervise(ts *testscript.TestScript, _ bool, args []string) {
	s, err := control.Listen(ts.MkAbs(args[0]))
	ts.Check(err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(fake{}) }()
	ts.Defer(func() {
		ts.Check(s.Close())
		ts.Check(<-served)
	})
}

// status CODE COMMAND... runs a command that must exit with that code.
func status(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if exited, ok := err.(interface{ ExitCode() int }); ok {
		code = strconv.Itoa(exited.ExitCode())
	} else if err != nil {
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if code != args[0] {
		ts.Fatalf("%s exited with %s, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// await PATTERN COMMAND... repeats a command until its output matches.
func await(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	limit := time.Now().Add(time.Minute)
	for time.Now().Before(limit) {
		if err := ts.Exec(args[1], args[2:]...); err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("%s: its output never matched %q", strings.Join(args[1:], " "), args[0])
}

// fake is a supervisor of canned answers: the target of a command chooses the
// verdict.
type fake struct{}

func (fake) Status(context.Context) (control.Status, error) {
	return control.Status{
		Name: "siege", PID: 4711, Version: "v1.2.3", Uptime: 190, State: "rolling",
		Listeners: []control.Listener{
			{Name: "web", Address: "127.0.0.1:8080", State: "open"},
			{Name: "admin", Address: "unix:/run/a", State: "quiesced", Waiting: true},
		},
		Programs: []control.Program{
			{Name: "redis", Generation: 1, Wanted: 1, Workers: []control.Worker{
				{Worker: "redis.0", Life: 1, PID: 4712, Generation: 1, State: "ready", Uptime: 190, Inflight: -1, Accepting: "-"},
			}},
			{Name: "web", Generation: 2, Wanted: 3, Workers: []control.Worker{
				{Worker: "web.0", Life: 2, PID: 4713, Generation: 1, State: "draining", Uptime: 189, Inflight: 3, Accepting: "no", Left: 8.8},
				{Worker: "web.0", Life: 5, PID: 4720, Generation: 2, State: "ready", Uptime: 0.4, Accepting: "yes", Status: "12 rooms\x1b[2J"},
				{Worker: "web.1", Slot: 1, Life: 3, PID: 4714, Generation: 2, State: "ready", Uptime: 200000, Inflight: 0, Accepting: "unknown", Restarts: 2},
				{Worker: "web.2", Slot: 2, State: "failed", Reason: "exit status 1, 10 times in 1m", Inflight: -1, Restarts: 10},
			}},
			{Name: "none", Generation: 1},
		},
	}, nil
}

func (fake) Inflight(_ context.Context, target string) ([]control.Operation, error) {
	switch target {
	case "", "web.0":
		return []control.Operation{
			{Worker: "web.0", Name: "POST", Route: "/work/{id}", Class: "critical", State: "running", Client: "127.0.0.1:5000", Age: 1234 * time.Millisecond},
			{Worker: "web.0", Name: "writing\tfiles", Class: "critical", Age: 75 * time.Second},
		}, nil
	case "web.1":
		return nil, nil
	}
	return nil, &control.UnknownTarget{Target: target}
}

func (fake) Do(_ context.Context, r control.Request, progress func([]control.Progress)) control.Verdict {
	switch r.Target {
	case "absent":
		return control.Verdict{Code: control.NoSuch, Text: "no program or worker named absent"}
	case "slow":
		progress([]control.Progress{
			{Worker: "slow.0", State: "draining", Waiting: "POST /work/a (critical, 1.2s old)", Count: 1, Left: 8800 * time.Millisecond},
			{Worker: "slow.1", State: "draining", Waiting: "GET /\x07 (critical, 0.1s old)", Count: 3, Left: 299 * time.Second},
			{Worker: "slow.2", State: "cutting", Count: 2},
			{Worker: "slow.3", State: "starting"},
		})
		return control.Verdict{Code: control.Cut, Text: "stopped, but 1 operation was cut", Cut: []control.Operation{
			{Worker: "slow.0", Name: "POST", Route: "/work/a", Class: "critical", State: "running", Client: "127.0.0.1:5000", Age: 10 * time.Second},
		}}
	case "many":
		progress(make([]control.Progress, 12))
		return control.Verdict{}
	case "died":
		return control.Verdict{Code: control.Died}
	case "bad":
		return control.Verdict{Code: control.RolledBack, Text: "rolled back: bad.0 exited with 1", Last: []string{"panic: \x1b[31mno config", "goroutine 1"}}
	case "refused":
		return control.Verdict{Code: control.Failed, Text: "redis has dependants; use --hard"}
	case "odd":
		return control.Verdict{Code: 255, Text: "odd"}
	}
	return control.Verdict{Text: describe(r)}
}

// describe shows all of a request that a verb can set.
func describe(r control.Request) string {
	out := []string{r.Verb}
	for _, s := range []string{r.Target, r.Signal} {
		if s != "" {
			out = append(out, s)
		}
	}
	if r.Workers != 0 {
		out = append(out, strconv.Itoa(r.Workers))
	}
	if r.Now {
		out = append(out, "now")
	}
	if r.Hard {
		out = append(out, "hard")
	}
	return strings.Join(out, " ")
}
