package config

import (
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/supervisor"
)

func TestParent(t *testing.T) {
	for _, test := range []struct {
		env    string
		docker bool
		want   string
		gives  time.Duration
	}{
		{"", false, "", 0},
		{"SUPERVISOR_ENABLED", false, "supervisord", 10 * time.Second},
		{"SUPERVISOR_ENABLED", true, "supervisord", 10 * time.Second},
		{"", true, "docker", 10 * time.Second},
		{"KUBERNETES_SERVICE_HOST", true, "Kubernetes", 30 * time.Second},
	} {
		lookup := func(name string) (string, bool) { return "", name == test.env }
		stat := func(name string) (fs.FileInfo, error) {
			if test.docker && name == "/.dockerenv" {
				return nil, nil
			}
			return nil, fs.ErrNotExist
		}
		if h := parent(lookup, stat); h.name != test.want || h.gives != test.gives {
			t.Errorf("%q, docker %v: %+v, want %s", test.env, test.docker, h, test.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	supervisord := host{"supervisord", 10 * time.Second, "stopwaitsecs=%d"}
	web := supervisor.Program{Name: "web", DrainTimeout: 20 * time.Second, DependsOn: []string{"queue", "redis"}, Listen: []string{"web"}}
	queue := supervisor.Program{Name: "queue", DrainTimeout: time.Second, DependsOn: []string{"redis"}}
	redis := supervisor.Program{Name: "redis", DrainTimeout: 5 * time.Second, StopCommand: []string{"x"}, StopTimeout: 4 * time.Second}
	other := supervisor.Program{Name: "other", DrainTimeout: 25 * time.Second, StopTimeout: 10 * time.Second}
	short := supervisor.Program{Name: "short", DrainTimeout: 9 * time.Second}
	listeners := []supervisor.Listener{
		{Name: "web", Address: sock.Address{Network: "tcp", Address: ":80"}},
		{Name: "idle", Address: sock.Address{Network: "tcp", Address: ":81"}},
	}
	const idle = "listen.idle: no program serves it: clients of :81 would connect and never be answered; add it to a program's listen, or remove it"
	const slow = "a stop may take 30s (web 20s, then queue 1s, then redis 9s), and supervisord kills after 10s unless told otherwise; set stopwaitsecs=35, or a shorter drain_timeout"
	for _, test := range []struct {
		config supervisor.Config
		host   host
		want   []string
	}{
		{supervisor.Config{Programs: []supervisor.Program{web, queue, redis, other}, Listeners: listeners}, supervisord, []string{idle, slow}},
		{supervisor.Config{Programs: []supervisor.Program{web, queue, redis, other}, Listeners: listeners[:1]}, host{}, nil},
		{supervisor.Config{Programs: []supervisor.Program{short}}, supervisord, nil},
		{supervisor.Config{}, supervisord, nil},
	} {
		if got := warnings(test.config, test.host); !slices.Equal(got, test.want) {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
}

func TestWarningsAsksTheEnvironment(t *testing.T) {
	c := supervisor.Config{Programs: []supervisor.Program{{Name: "web", DrainTimeout: time.Hour}}}
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	if got := Unbudgeted(c); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
