package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Upgrades after a reload that has moved a listener: the socket that it has
// moved to stays, and reloads go on from there, whether they are refused or
// move it once more.
func TestUpgradeAfterAListenerHasMoved(t *testing.T) {
	t.Parallel()
	h := found(t)
	was, moved := h.addr, freeAddress(t)
	file := func(addr string) string { return fmt.Sprintf(upgradeFile, addr, h.path("brisk")) }
	h.configure(file(was))
	h.start()
	h.logged("msg=ready\n")
	reload := func(ok bool, says string) {
		t.Helper()
		if out, err := h.command("reload").CombinedOutput(); (err == nil) != ok || !strings.Contains(string(out), says) {
			t.Errorf("reload: %v: %s", err, out)
		}
	}
	h.configure(file(moved))
	reload(true, "")
	h.addr = moved
	load := hold(moved, 4)
	before := h.identity()
	for range 2 {
		if out, err := h.command("upgrade").CombinedOutput(); err != nil {
			t.Errorf("upgrade: %v: %s", err, out)
		}
	}
	h.configure("[listen\n")
	reload(false, "lastcall.toml:1")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	h.configure(file(taken.Addr().String()))
	reload(false, "address already in use")
	h.configure(file(moved))
	reload(true, "") // it is what there is
	if got := h.identity(); got != before {
		t.Errorf("it was\n%s\nand is\n%s", before, got)
	}
	h.listensOnlyAt(moved, was)
	if answered, lost := load.end(); answered == 0 || len(lost) > 0 {
		t.Errorf("%d requests answered, %d lost: %v", answered, len(lost), lost)
	}
	h.configure(file(was))
	reload(true, "")
	h.addr = was
	h.listensOnlyAt(was, moved)
	h.stops(0)
	h.listensOnlyAt("", was, moved)
	h.checkLines("log")
}

// listensOnlyAt wants clients to be served at one address, and to be refused at
// the others.
func (h *house) listensOnlyAt(open string, closed ...string) {
	h.t.Helper()
	if open != "" {
		load := hold(open, 1)
		h.until("a client is answered", func() bool { return load.answered.Load() > 0 })
		load.end()
		if st := h.status(); len(st.Listeners) != 1 || st.Listeners[0].Address != open || st.Listeners[0].State != "open" {
			h.t.Errorf("the listeners are %+v, want %s", st.Listeners, open)
		}
	}
	for _, addr := range closed {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			h.t.Errorf("%s takes a client", addr)
		}
	}
}

// An upgrade waits for the end of a stop command, of which the other executable
// would know nothing, and for no more than that.
func TestUpgradeWaitsForAStopCommand(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.configure(fmt.Sprintf(`
[listen]
web = %q
[program.web]
command = ["sh", "-c", "echo $$ >pid; exec sleep 600"]
listen = ["web"]
ready = { file = "pid" }
stop_command = ["sh", "-c", "echo begun >>journal; until test -e go; do sleep 0.01; done"]
stop_timeout = "50s"
drain_timeout = "60s"
`, h.addr))
	h.start()
	h.logged("msg=ready\n")
	h.send(syscall.SIGWINCH) // a stop for which no operator waits
	h.until("the stop command runs", func() bool { return h.read("journal") == "begun\n" })
	h.send(syscall.SIGUSR2)
	h.logged("name=SIGUSR2")
	for range 10 { // it would have come by then
		if n := h.status().Upgrades; n != 0 {
			t.Fatalf("%d upgrades while a stop command runs", n)
		}
	}
	h.finish()
	h.logged("supervisor upgraded")
	w := h.worker("web.0")
	if w.State != "draining" {
		t.Errorf("after the upgrade it is %+v", w)
	}
	if err := syscall.Kill(w.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.until("the worker is gone", func() bool { return h.worker("web.0").PID == 0 })
	if got := h.read("journal"); got != "begun\n" {
		t.Errorf("journal %q", got)
	}
	h.stops(0)
}

// What the supervisor's process had for children before it became it, by a
// shell's exec, is none of its business; what a worker has left behind is. That
// holds after an upgrade too.
func TestStraysAndOthersAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	for _, upgrades := range []int{0, 2} {
		h := found(t)
		h.configure(`
[program.job]
command = ["sh", "-c", "(setsid sh -c 'echo $$ >stray; exec sleep 600' &); exec sleep 600"]
min_uptime = "10ms"
`)
		run := h.command("run")
		run.Args = []string{"sh", "-c", `sleep 600 & echo $! >before; exec "$0" run`, run.Path}
		run.Path = "/bin/sh"
		h.startAs(run)
		h.logged("msg=ready\n")
		h.until("what a worker has left behind is the supervisor's child", func() bool {
			stray, err := os.ReadFile("/proc/" + strings.TrimSpace(h.read("stray")) + "/status")
			return err == nil && strings.Contains(string(stray), fmt.Sprintf("\nPPid:\t%d\n", h.cmd.Process.Pid))
		})
		for range upgrades {
			if out, err := h.command("upgrade").CombinedOutput(); err != nil {
				t.Errorf("upgrade: %v: %s", err, out)
			}
		}
		h.send(syscall.SIGTERM)
		_ = h.cmd.Wait()
		if got := h.cmd.ProcessState; got.ExitCode() != 0 {
			t.Errorf("it ended with %v", got)
		}
		before, err := strconv.Atoi(strings.TrimSpace(h.read("before")))
		if err != nil {
			t.Fatal(err)
		}
		if left := h.left(); !slices.Equal(left, []int{before}) {
			t.Errorf("after %d upgrades left %v, want %d", upgrades, left, before)
		}
	}
}
