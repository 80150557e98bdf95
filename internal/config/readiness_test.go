package config

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/supervisor"
	"github.com/lastcall/lastcall/internal/wire"
)

// withWeb is a program with two listeners, and more.
func withWeb(more string) string {
	return "[listen]\nweb = ':80'\nadmin = '/run/x.sock'\n[program.web]\ncommand = ['./server']\nlisten = ['web', 'admin']\n" + more
}

func TestReadyForms(t *testing.T) {
	yard(t)
	for text, want := range map[string]supervisor.ReadyBy{
		``:                                         {},
		`ready = "notify"`:                         {Sign: supervisor.SaysReady},
		`ready = "accepting"`:                      {Sign: supervisor.Accepts},
		`ready = "uptime"`:                         {Sign: supervisor.StaysUp},
		`ready = { log = "^{worker} on \\d+$" }`:   {Sign: supervisor.LineMatch, Line: `^{worker} on \d+$`},
		`ready = { fd = 5 }`:                       {Sign: supervisor.FirstBreak, FD: 5},
		`ready = { fd = 1000 }`:                    {Sign: supervisor.FirstBreak, FD: 1000},
		`ready = { tcp = "127.0.0.1:6379" }`:       {},
		"ready = \"uptime\"\nmin_uptime = \"59s\"": {Sign: supervisor.StaysUp},
	} {
		c, err := load(t, withWeb(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		p := c.Programs[0]
		if diff := cmp.Diff(want, p.ReadyBy); diff != "" {
			t.Errorf("%s (-want +got)\n%s", text, diff)
		}
		if asks := p.Ready != nil; asks != strings.Contains(text, "tcp") {
			t.Errorf("%s: asks %+v", text, p.Ready)
		}
	}
}

func TestReadyMistakes(t *testing.T) {
	yard(t)
	const at = "lastcall.toml:7: program.web.ready: "
	for text, want := range map[string]string{
		`ready = "notfy"`:               at + `cannot be "notfy"; did you mean "notify"?`,
		`ready = 3`:                     at + `must be a table, not a number; write it as { tcp = "127.0.0.1:6379" }, or "notify", "accepting" or "uptime"`,
		`ready = {}`:                    at + `asks nothing; add one of exec, file, http, redis, tcp, log, fd`,
		`ready = { lgo = "x" }`:         at + `unknown key "lgo"; did you mean "log"?`,
		`ready = { log = "(" }`:         at + "error parsing regexp: missing closing ): `(`; correct it, or put \\Q before what is meant as it stands",
		`ready = { log = "" }`:          "lastcall.toml:7: program.web.ready.log: is empty; write a value, or leave it out",
		`ready = { fd = "5" }`:          "lastcall.toml:7: program.web.ready.fd: must be a number, not a string; write fd = 4",
		`ready = { fd = 2 }`:            at + `descriptor 2 is stdin, stdout or stderr; write 5, and let the program write there`,
		`ready = { fd = 4 }`:            at + `descriptor 4 is listener "admin"; write 5 or a higher one`,
		`ready = { fd = 1001 }`:         at + `descriptor 1001 is too high; write one from 5 to 1000`,
		`ready = { log = "x", fd = 7 }`: at + `waits for two things, log and fd; keep one of the two`,
		`ready = { every = "1s", log = "x", http = "http://127.0.0.1/" }`: at + `waits for two things, log and http; keep one of the two`,
		`ready = { log = "x", every = "1s" }`:                             at + `unknown key "every"; take it out: nothing is asked, it is waited for up to ready_timeout`,
		"ready = \"uptime\"\nmin_uptime = \"60s\"":                        at + `can never be: min_uptime is 1m0s, and ready_timeout 1m0s; make ready_timeout longer than min_uptime`,
		`listen_env = ["systemd"]`:                                        `lastcall.toml:7: program.web.listen_env[0]: cannot be "systemd"; known: einhorn, server-starter`,
		`listen_env = "einhorm"`:                                          `lastcall.toml:7: program.web.listen_env: cannot be "einhorm"; did you mean "einhorn"?`,
	} {
		if _, err := load(t, withWeb(text)); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`ready = "accepting"`:    `lastcall.toml:3: program.web.ready: "accepting" is about listeners, and it has none; add listen, or write "notify" or "uptime"`,
		`listen_env = "einhorn"`: `lastcall.toml:3: program.web.listen_env: is about listeners, and it has none; add listen, or take it out`,
	} {
		if _, err := load(t, "[program.web]\ncommand = './server'\n"+text); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestAcceptingIsSeenOnLinuxOnly(t *testing.T) {
	d := (&loader{kinds: gate.Kinds()}).newDraft("web", place{})
	d.Listen = []string{"web"}
	if err := d.seen("linux"); err != nil {
		t.Error(err)
	}
	if err := d.seen("darwin"); err == nil || !strings.Contains(err.Error(), "on Linux only, not on darwin") {
		t.Error(err)
	}
}

// The first descriptor is free where there are no listeners.
func TestReadyDescriptorWithoutListeners(t *testing.T) {
	yard(t)
	if _, err := load(t, "[program.web]\ncommand = './server'\nready = { fd = 3 }"); err != nil {
		t.Error(err)
	}
}

func TestListenEnvOfAFile(t *testing.T) {
	yard(t)
	c, err := load(t, withWeb(`listen_env = ["server-starter", "einhorn"]`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]wire.Family{wire.ServerStarter, wire.Einhorn}, c.Programs[0].ListenEnv); diff != "" {
		t.Error(diff)
	}
}

func TestWrappers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"start.sh":     "#!/bin/sh\ncd .\nserver --port 1\n",
		"good.sh":      "#!/usr/bin/env bash\nset -e\nmigrate && exec server\n",
		"server.js":    "#!/usr/bin/env node\nserve()\n",
		"package.json": `{ "scripts": { "start": "node server.js --port 80", "dev": "FOO=1 node x.js", "serve": "vite --host", "both": "build && node x.js" } }`,
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir+"/node_modules/.bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/node_modules/.bin/vite", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	const shell = "write exec before the server in its script, or the server itself"
	for _, test := range []struct {
		command []string
		want    string // "": it is none
	}{
		{[]string{"npm", "start"}, `write command = ["node", "server.js", "--port", "80"]`},
		{[]string{"npm", "run", "--silent", "serve"}, `write command = ["./node_modules/.bin/vite", "--host"]`},
		{[]string{"/usr/bin/yarn", "start"}, `write command = ["node", "server.js", "--port", "80"]`},
		{[]string{"npm", "run", "dev"}, `write what script "dev" of ` + dir + `/package.json runs, without a shell`},
		{[]string{"npm", "run", "both"}, `write what script "both" of ` + dir + `/package.json runs, without a shell`},
		{[]string{"npx", "--yes", "serve", "-l", "80"}, `write command = ["./node_modules/.bin/serve", "-l", "80"]`},
		{[]string{"sh", "-c", "cd /srv; server"}, shell},
		{[]string{"bash", "-ec", "server && true"}, shell},
		{[]string{"sh", "start.sh"}, shell},
		{[]string{"./start.sh"}, shell},
		{[]string{"timeout", "5", "server"}, "write the server itself"},
		{[]string{"sudo", "-u", "www", "server"}, "write the server itself, and user"},
		{[]string{"tini", "--", "server"}, "write the server itself: lastcall reaps orphans and passes signals on"},
		{[]string{"sh", "-c", "server --port 80"}, shell},
		{[]string{"bash", "-c", "server --port 80"}, ""}, // as if it said exec
		{[]string{"sh", "-c", "cd /srv; exec server"}, ""},
		{[]string{"sh", "-c", "test -e x&&exec server"}, ""},
		{[]string{"./good.sh"}, ""},
		{[]string{"bash", "good.sh"}, ""},
		{[]string{"./server.js"}, ""},
		{[]string{"sh", "absent.sh"}, ""},
		{[]string{"sh"}, ""},
		{[]string{"node", "server.js"}, ""},
		{[]string{"bundle", "exec", "puma"}, ""}, // it executes, or loads, what it runs
		{[]string{"poetry", "run", "gunicorn"}, ""},
		{[]string{"sh", "-c", "server --fd {fd:web}"}, ""},
	} {
		p := supervisor.Program{Name: "web", Command: test.command, Dir: dir, Listen: []string{"web"}}
		got := Wrappers(supervisor.Config{Programs: []supervisor.Program{p}})
		if test.want == "" {
			if len(got) > 0 {
				t.Errorf("%q: %q", test.command, got)
			}
			continue
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], "program.web.command: ") || !strings.HasSuffix(got[0], "; "+test.want) {
			t.Errorf("%q\ngot  %q\nwant %q", test.command, got, test.want)
		}
		p.Listen = nil
		if got := Wrappers(supervisor.Config{Programs: []supervisor.Program{p}}); len(got) > 0 {
			t.Errorf("without listeners %q", got)
		}
	}
}
