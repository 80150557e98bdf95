package prefork_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/prefork"
)

// TestConfigErrors wants every refusal to name its field.
func TestConfigErrors(t *testing.T) {
	sh := func(change func(*prefork.Helper)) func(*prefork.Config) {
		return func(c *prefork.Config) {
			h := prefork.Helper{Name: "redis", Command: []string{"sh"}}
			change(&h)
			c.Helpers = []prefork.Helper{{Name: "other", Command: []string{"sh"}}, h}
		}
	}
	for _, test := range []struct {
		field, problem string
		change         func(*prefork.Config)
	}{
		{"Worker", "is not set", func(c *prefork.Config) { c.Worker = nil }},
		{"Name", `"a.b" is no name`, func(c *prefork.Config) { c.Name = "a.b" }},
		{"Workers", "-2 is negative", func(c *prefork.Config) { c.Workers = -2 }},
		{"DrainTimeout", "-1s is negative; 0 is the default, 25s", func(c *prefork.Config) { c.DrainTimeout = -time.Second }},
		{"Listen[1]", "missing port", func(c *prefork.Config) { c.Listen = []string{":80", "8080"} }},
		{"Listen[0]", `"a b" is no name`, func(c *prefork.Config) { c.Listen = []string{"a b=:80"} }},
		{"Listen[1]", `"web" is there twice`, func(c *prefork.Config) { c.Listen = []string{"web=:80", "web=:81"} }},
		{"Slots", "is for TCP, and /x/y is not", func(c *prefork.Config) { c.Slots, c.Listen = true, []string{":80", "/x/y"} }},
		{"Listen[0]", "{port} is there, and no PortBase", func(c *prefork.Config) { c.Listen = []string{":{port}"} }},
		{"Listen[0]", "{port} stands for the port of a TCP address", func(c *prefork.Config) { c.PortBase, c.Listen = 8000, []string{"/x/y:{port}"} }},
		{"PortBase", "-1 is the first of 1 ports", func(c *prefork.Config) { c.PortBase, c.Workers, c.Listen = -1, 1, []string{":{port}"} }},
		{"PortBase", "65535 is the first of 2 ports, and they go from 1 to 65535", func(c *prefork.Config) { c.PortBase, c.Workers, c.Listen = 65535, 2, []string{":{port}"} }},
		{"PortBase", "take one of the two", func(c *prefork.Config) { c.PortBase, c.Slots, c.Listen = 8000, true, []string{":{port}"} }},
		{"PortBase", "without an address in Listen", func(c *prefork.Config) { c.PortBase, c.Listen = 8000, []string{":80"} }},
		{"Helpers[1].Name", `"" is no name`, sh(func(h *prefork.Helper) { h.Name = "" })},
		{"Helpers[1].Name", `"other" is there twice`, sh(func(h *prefork.Helper) { h.Name = "other" })},
		{"Helpers[1].Name", `"app" is there twice`, sh(func(h *prefork.Helper) { h.Name = "app" })},
		{"Helpers[1].Command", "is empty", sh(func(h *prefork.Helper) { h.Command = nil })},
		{"Helpers[1].Command", `"no-such": executable file not found in $PATH`, sh(func(h *prefork.Helper) { h.Command[0] = "no-such" })},
		{"Helpers[1].Command", `"./sh": no such file`, sh(func(h *prefork.Helper) { h.Command[0], h.Dir = "./sh", "/usr" })},
		{"Helpers[1].StopCommand", `"no-such"`, sh(func(h *prefork.Helper) { h.StopCommand = []string{"no-such"} })},
		{"Helpers[1].KillTimeout", "is negative", sh(func(h *prefork.Helper) { h.KillTimeout = -1 })},
		{"Helpers[1].DependsOn", `no helper "nobody"`, sh(func(h *prefork.Helper) { h.DependsOn = []string{"nobody"} })},
		{"Helpers[1].DependsOn", "waits for itself", sh(func(h *prefork.Helper) { h.DependsOn = []string{"redis"} })},
		{"Helpers[1].Ready", "more than one question", sh(func(h *prefork.Helper) { h.Ready = prefork.Probe{TCP: "127.0.0.1:1", File: "/x"} })},
		{"Helpers[1].Ready", "must be HOST:PORT", sh(func(h *prefork.Helper) { h.Ready = prefork.Probe{TCP: "nowhere"} })},
		{"Helpers[1].Ready", "asks no question", sh(func(h *prefork.Helper) { h.Ready = prefork.Probe{Every: time.Second} })},
		{"Helpers[1].Ready", "negative duration", sh(func(h *prefork.Helper) { h.Ready = prefork.Probe{File: "/x", Timeout: -1} })},
		{"Helpers[1].Ready.Exec", `"no-such"`, sh(func(h *prefork.Helper) { h.Ready = prefork.Probe{Exec: []string{"no-such"}} })},
	} {
		c := prefork.Config{Name: "app", Worker: func(context.Context) error { return nil }}
		test.change(&c)
		err := prefork.Run(context.Background(), c)
		e, ok := errors.AsType[*prefork.ConfigError](err)
		if !ok || e.Field != test.field || !strings.Contains(e.Problem, test.problem) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s, %s: %v", test.field, test.problem, err)
		}
		if got := prefork.ExitCode(err); got != 78 {
			t.Errorf("%v: exit code %d", err, got)
		}
	}
}

// TestGoodConfigs are near the bad ones, and none. Nothing is run.
func TestGoodConfigs(t *testing.T) {
	for _, c := range []prefork.Config{
		{},
		{Listen: []string{":80", ":81", "./a=b.sock", "admin=unix:@name"}, MaxRestarts: -1},
		{Listen: []string{"127.0.0.1:{port}", "admin=[::1]:{port}", ":80"}, PortBase: 65534, Workers: 2},
		{Helpers: []prefork.Helper{
			{Name: "a", Command: []string{"sh"}, DependsOn: []string{"b"}, StopSignal: syscall.SIGINT, Ready: prefork.Probe{HTTP: "http://127.0.0.1:1/"}},
			{Name: "b", Command: []string{"./sh"}, Dir: "/bin", Ready: prefork.Probe{Exec: []string{"sh", "-c", "exit 0"}}},
		}},
	} {
		c.Worker = func(context.Context) error { return nil }
		if _, err := prefork.New(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestOutsideOfAWorker: what is a worker's is refused elsewhere.
func TestOutsideOfAWorker(t *testing.T) {
	if got := prefork.TaskID(); got != -1 {
		t.Errorf("task id %d", got)
	}
	if l, err := prefork.Listener(""); err == nil || !strings.Contains(err.Error(), "this process is no worker") {
		t.Errorf("listener %v, %v", l, err)
	}
}

// TestBeforeRun: a request waits for Run, and no longer than its context.
func TestBeforeRun(t *testing.T) {
	s, err := prefork.New(prefork.Config{Worker: func(context.Context) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, snapshot := s.Snapshot(ctx)
	for _, err := range []error{snapshot, s.Stop(ctx), s.Roll(ctx, prefork.All), s.Wait(ctx)} {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before Run: %v", err)
		}
	}
}
