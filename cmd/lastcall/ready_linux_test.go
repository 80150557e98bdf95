package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// signs are the forms of ready, and what an error says that it waited for.
func signs() map[string][2]string {
	return map[string][2]string{
		"notify":    {`"notify"`, `READY=1 on its notify socket`},
		"accepting": {`"accepting"`, `it to accept connections`},
		"log":       {`{ log = "^herald: serving on \\d+$" }`, `a line of its output that matches "^herald: serving on \\d+$"`},
		"fd":        {`{ fd = 10 }`, `a newline on its descriptor 10`},
	}
}

// herald configures one that gives a sign.
func (h *house) herald(sign, ready, more string) {
	h.t.Helper()
	h.configure(fmt.Sprintf(`
[listen]
web = %q
[program.web]
command = [%q, %q]
listen = ["web"]
ready = %s
%s
`, h.addr, h.path("herald"), sign, ready, more))
}

func (h *house) touch(name string) {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), nil, 0o666); err != nil {
		h.t.Fatal(err)
	}
}

// A worker is ready by the sign that is configured, whole, and by no other; an
// upgrade in its midst loses nothing of it.
func TestReadyBySign(t *testing.T) {
	for sign, s := range signs() {
		for _, upgrade := range []bool{false, true} {
			t.Run(fmt.Sprint(sign, " upgrade=", upgrade), func(t *testing.T) {
				t.Parallel()
				h := found(t)
				h.herald(sign, s[0], "")
				h.start()
				h.until("half of it is said", func() bool { return h.read("journal") == "half\n" })
				if upgrade {
					h.upgradeBySignal()
				}
				w := h.worker("web.0")
				h.until("it has been up for a while", func() bool { w = h.worker("web.0"); return w.Uptime > 0.4 })
				if w.State != "starting" {
					t.Errorf("by half of a sign, and all others, it is %+v", w)
				}
				h.touch("go")
				h.logged("msg=ready\n")
				h.stops(0)
			})
		}
	}
}

// A sign that does not come ends the start, with an error that names it.
func TestReadyBySignThatDoesNotCome(t *testing.T) {
	for sign, s := range signs() {
		t.Run(sign, func(t *testing.T) {
			t.Parallel()
			h := found(t)
			h.herald(sign, s[0], `ready_timeout = "700ms"`)
			h.start()
			h.ends(3)
			if want := "lastcall: web.0 was killed: not ready within 700ms: waited for " + s[1]; !strings.Contains(h.read("log"), want) {
				t.Errorf("it does not say %q", want)
			}
		})
	}
}

// What can be seen to be in the way of readiness is named.
func TestNeverReadyIsExplained(t *testing.T) {
	t.Parallel()
	const daemon = `["/usr/bin/python3", "-c", "import os, time\nif os.fork() == 0: os.setsid(); time.sleep(600)"]`
	for _, test := range []struct{ command, ready, want string }{
		{`["/bin/sh", "-c", "exec 9>&-; exec sleep 600"]`, `{ fd = 9 }`,
			"waited for a newline on its descriptor 9; it has closed descriptor 9, and so have all who had it\n"},
		{`["/bin/sh", "-c", "exit 3"]`, `{ fd = 10 }`, "lastcall: web.0 exited with status 3 before everything was ready\n"},
		{daemon, `"notify"`, "web.0 exited with status 0 before everything was ready; if it puts itself into the background, have it stay in the foreground\n"},
	} {
		h := found(t)
		h.configure(fmt.Sprintf("[program.web]\ncommand = %s\nready = %s\nready_timeout = \"2s\"\n", test.command, test.ready))
		h.start()
		h.ends(3)
		if !strings.Contains(h.read("log"), test.want) {
			t.Errorf("it does not say %q", test.want)
		}
	}
}

// By uptime: neither earlier, whatever it says, nor, over an upgrade, later.
func TestReadyByUptime(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.herald("none", `"uptime"`, `min_uptime = "1500ms"`)
	h.start()
	h.until("all is said", func() bool { return h.read("journal") == "half\n" })
	h.upgradeBySignal()
	h.logged("msg=ready\n")
	h.touch("go") // or it does not hear TERM
	if took := h.between("msg=started", "msg=ready worker"); took < 1400*time.Millisecond || took > 60*time.Second {
		t.Errorf("ready after %v", took)
	}
	h.stops(0)
}

// between returns the time from one line of the log to another.
func (h *house) between(from, to string) time.Duration {
	h.t.Helper()
	var at [2]time.Time
	for line := range strings.Lines(h.read("log")) {
		stamp, rest, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		when, err := time.Parse(time.RFC3339Nano, stamp)
		for i, text := range []string{from, to} {
			if err == nil && strings.Contains(rest, text) && at[i].IsZero() {
				at[i] = when
			}
		}
	}
	if at[0].IsZero() || at[1].IsZero() {
		h.t.Errorf("the log has not both of %q and %q", from, to)
	}
	return at[1].Sub(at[0])
}

// What a probe was answered last is in the error of a failed start, and in the
// status until then.
func TestProbeSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.configure(`
[program.job]
command = ["sleep", "600"]
ready = { exec = ["sh", "-c", "echo no such table; exit 1"] }
ready_timeout = "3s"
`)
	h.start()
	h.logged("msg=started")
	h.until("status says it", func() bool { return strings.Contains(h.worker("job.0").Reason, "not ready: no such table") })
	h.ends(3)
	if want := "waited for the answer of exec sh -c echo no such table; exit 1; no such table"; !strings.Contains(h.read("log"), want) {
		t.Errorf("it does not say %q", want)
	}
}

// The first descriptor may be that of the newline, where there are no listeners;
// the channel is elsewhere then. What else is written there kills nobody.
func TestReadyDescriptorIsTheFirst(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.configure(`
[program.job]
command = ["sh", "-c", "echo >&3; env >env; until test -e go; do sleep 0.01; done; echo >&3; echo more >&3; : >alive; exec sleep 600"]
ready = { fd = 3 }
`)
	h.start()
	h.logged("msg=ready\n")
	h.until("its environment is there", func() bool { return strings.Contains(h.read("env"), "LASTCALL_CHANNEL=4\n") })
	h.upgradeBySignal()
	h.touch("go")
	h.until("it has written again", func() bool { _, err := os.Stat(h.path("alive")); return err == nil })
	h.stops(0)
}

// A worker finds its sockets in the ways of einhorn and of Server::Starter too,
// and nothing of what the supervisor was told itself.
func TestListenEnv(t *testing.T) {
	t.Parallel()
	h := found(t)
	_, port, _ := net.SplitHostPort(h.addr)
	h.configure(fmt.Sprintf(`
[program.web]
command = ["sh", "-c", "env >{worker}; exec sleep 600"]
workers = 2
listen = ["127.0.0.1:0", "tcp4:0.0.0.0:%s", "%s"]
listen_env = ["einhorn", "server-starter"]
ready = "uptime"
min_uptime = "10ms"
[program.plain]
command = ["sh", "-c", "env >{worker}; exec sleep 600"]
min_uptime = "10ms"
`, port, h.path("web.sock")))
	run := h.command("run")
	run.Env = append(run.Environ(), "EINHORN_FD_7=9", "EINHORN_SOCK_FD=8", "SERVER_STARTER_PORT=80=5")
	h.startAs(run)
	h.logged("msg=ready\n")
	h.until("both environments are there", func() bool {
		return strings.Contains(h.read("web.1"), "PWD=") && strings.Contains(h.read("plain.0"), "PWD=")
	})
	var address string
	for _, l := range h.status().Listeners {
		if l.Name == "web" {
			address = l.Address
		}
	}
	got := "\n" + h.read("web.1")
	for _, want := range []string{
		fmt.Sprintf("EINHORN_MASTER_PID=%d", h.cmd.Process.Pid), "EINHORN_CHILD_INDEX=1", "EINHORN_FD_COUNT=3",
		"EINHORN_FD_0=3", "EINHORN_FD_1=4", "EINHORN_FD_2=5", "LISTEN_FDS=3",
		fmt.Sprintf("SERVER_STARTER_PORT=%s=3;%s=4;%s=5", address, port, h.path("web.sock")), "SERVER_STARTER_GENERATION=1",
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("the environment has no %s:\n%s", want, got)
		}
	}
	for _, name := range []string{"web.1", "plain.0"} {
		for _, leak := range []string{"EINHORN_FD_7", "EINHORN_SOCK_FD", "80=5"} {
			if strings.Contains(h.read(name), leak) {
				t.Errorf("%s has %s", name, leak)
			}
		}
	}
	h.send(syscall.SIGTERM)
	_ = h.cmd.Wait()
	if left, _ := filepath.Glob(h.path("*.sock")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
