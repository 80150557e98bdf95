package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user who may do nothing special.
const nobody = 65534

// ordinary has the house be an ordinary user's, where the test is root: the
// kernel allows root what it does not allow most who run servers.
func ordinary(t *testing.T) *house {
	t.Helper()
	h := found(t)
	if os.Getuid() != 0 {
		return h
	}
	// The test binary is in a directory that only root may enter.
	self := h.path("self")
	copied(t, self)
	links, err := filepath.Glob(h.path("*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if link == self {
			continue
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(h.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(h.dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return h
}

// copied puts the test binary where it can be read.
func copied(t *testing.T, to string) {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err == nil {
		_, err = io.Copy(f, from)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// as has a command run as the ordinary user.
func (h *house) as(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// startOrdinary starts the supervisor, and wants it to have no privilege.
func (h *house) startOrdinary() {
	h.t.Helper()
	h.startAs(h.as(h.command("run")))
	h.logged("msg=ready\n")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), "CapEff:\t0000000000000000\n") {
		h.t.Fatalf("it has a capability, or nobody knows (%v):\n%s", err, status)
	}
}

// An ordinary user stops it: nobody who got a connection is reset, and the port
// is free.
func TestStopAsAnOrdinaryUser(t *testing.T) {
	for _, server := range []string{"brisk", "foreign"} {
		for _, balance := range []string{"shared", "slots"} {
			for _, host := range []string{"127.0.0.1", "::1"} { // the second on a socket of both families
				t.Run(strings.Join([]string{server, balance, host}, " "), func(t *testing.T) {
					for range 4 {
						stopAsAnOrdinaryUser(t, server, balance, host)
					}
				})
			}
		}
	}
}

func stopAsAnOrdinaryUser(t *testing.T, server, balance, host string) {
	h := ordinary(t)
	listen := h.addr
	if host == "::1" {
		_, port, err := net.SplitHostPort(h.addr)
		if err != nil {
			t.Fatal(err)
		}
		listen, h.addr = ":"+port, net.JoinHostPort(host, port)
	}
	h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nworkers = 3\nlisten = [\"web\"]\nbalance = %q\n",
		listen, h.path(server), balance))
	h.startOrdinary()
	q := h.queue(20)
	q.more(h, 100)
	h.send(syscall.SIGTERM)
	_ = h.cmd.Wait()
	q.end() // before the port is tried
	h.ends(0)
	if err := q.reset.Load(); err != nil {
		t.Errorf("a client was connected and then got: %v", *err)
	}
	if log := h.read("log"); strings.Contains(log, "cannot quiesce") {
		t.Error("it could not quiesce")
	}
}

// An upgrade after an ordinary user has had newcomers turned away, by a reload:
// they still are.
func TestUpgradeOfAnOrdinaryUserWithAQuiescedListener(t *testing.T) {
	h := ordinary(t)
	const stays = "[program.stays]\ncommand = [\"sleep\", \"600\"]\nmin_uptime = \"10ms\"\n"
	h.configure(stays + fmt.Sprintf(`
[listen]
web = %q
[program.web]
command = [%q]
listen = ["web"]
gate = [{ exec = ["test", "-e", "open"], every = "20ms" }]
`, h.addr, h.path("foreign")))
	h.startOrdinary()
	h.configure(stays)
	h.send(syscall.SIGHUP)
	h.logged("msg=gate worker=web.0")
	quiesced := func() {
		t.Helper()
		if pid, err := askPid(h.addr); err == nil {
			t.Errorf("%s has answered a newcomer", pid)
		}
		if state := h.status().Listeners[0].State; state != "quiesced" {
			t.Errorf("the listener is %s", state)
		}
	}
	quiesced()
	h.upgradeBySignal()
	quiesced()
	if err := os.WriteFile(h.path("open"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	h.logged("msg=closed listener=web")
	h.free()
	h.stops(0)
	if strings.Contains(h.read("log"), "cannot quiesce") {
		t.Error("it could not quiesce")
	}
}
