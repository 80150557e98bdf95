package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lastcall/lastcall/internal/control"
)

// managerScript puts a systemd into namespaces and a cgroup of its own: $1. It
// believes that the machine was booted with systemd, or it would not start.
const managerScript = `
echo $$ >"$1/cgroup.procs" || exit
exec unshare --mount --cgroup --fork --kill-child sh -c '
	mount -t tmpfs none /run && mkdir -p /run/systemd/system && mount -t cgroup2 none /sys/fs/cgroup &&
	exec /lib/systemd/systemd --user --unit=basic.target'
`

// A manager is a systemd that runs units of a house.
type manager struct {
	h   *house
	env []string
	old bool // before version 253, which has brought Type=notify-reload
}

// managed starts a systemd, the user's kind, which knows the same services as
// the system's and needs no machine of its own.
func managed(h *house) *manager {
	h.t.Helper()
	version, err := exec.Command("/lib/systemd/systemd", "--version").Output()
	if err != nil || os.Getuid() != 0 {
		h.t.Skipf("no systemd, or not root: %v", err)
	}
	if out, err := exec.Command("unshare", "--mount", "--cgroup", "--fork", "true").CombinedOutput(); err != nil {
		h.t.Skipf("unshare: %v: %s", err, out)
	}
	major := 0
	fmt.Sscanf(string(version), "systemd %d", &major)
	m := &manager{h: h, old: major < 253}
	group := m.cgroup()
	for _, dir := range []string{"run", "home/units"} {
		if err := os.MkdirAll(h.path(dir), 0o700); err != nil {
			h.t.Fatal(err)
		}
	}
	m.env = append(os.Environ(), "XDG_RUNTIME_DIR="+h.path("run"), "HOME="+h.path("home"),
		"SYSTEMD_UNIT_PATH="+h.path("home/units")+":", "SYSTEMD_LOG_TARGET=console", "DBUS_SESSION_BUS_ADDRESS=")
	cmd := exec.Command("sh", "-c", managerScript, "sh", group)
	cmd.Env = m.env
	h.startAs(cmd)
	h.until("systemd is up", func() bool {
		out, _ := m.systemctl("is-active", "basic.target").Output()
		return string(out) == "active\n"
	})
	return m
}

// cgroup makes one for the test, and removes it with all that systemd has made
// in it.
func (m *manager) cgroup() string {
	m.h.t.Helper()
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/unified/cgroup.procs"); err == nil {
		root += "/unified"
	}
	dir, err := os.MkdirTemp(root, "lastcall-test-")
	if err != nil {
		m.h.t.Skipf("no cgroup to be had: %v", err)
	}
	m.h.t.Cleanup(func() {
		_ = m.h.cmd.Process.Kill() // and with it systemd, the end of whose services is waited for here
		_ = m.h.cmd.Wait()
		m.h.until("the cgroup is removed", func() bool {
			var dirs []string
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, d := range slices.Backward(dirs) {
				_ = os.Remove(d)
			}
			_, err := os.Stat(dir)
			return os.IsNotExist(err)
		})
	})
	if _, err := os.Stat(dir + "/cgroup.procs"); err != nil {
		m.h.t.Skipf("no cgroup of version 2: %v", err)
	}
	return dir
}

func (m *manager) systemctl(args ...string) *exec.Cmd {
	cmd := exec.Command("systemctl", append([]string{"--user"}, args...)...)
	cmd.Env = m.env
	return cmd
}

func (m *manager) do(args ...string) string {
	m.h.t.Helper()
	out, err := m.systemctl(args...).CombinedOutput()
	if err != nil {
		status, _ := m.systemctl("status", "lastcall.service").CombinedOutput()
		m.h.t.Fatalf("systemctl %v: %v: %s\n%s\n%s", args, err, out, status, m.h.read("out"))
	}
	return strings.TrimSpace(string(out))
}

// unit installs one of packaging/, as it is but for paths, ports, and what this
// systemd does not know yet.
func (m *manager) unit(name string, more ...string) {
	m.h.t.Helper()
	to := "home/units/" + name
	m.h.packaged("systemd/"+name, to)
	replace := append(more, "ListenStream=80", "ListenStream="+m.h.addr, "[Service]\n", fmt.Sprintf(
		"[Service]\nEnvironment=%s LASTCALL_SOCKET=%s GORACE=atexit_sleep_ms=0\nStandardOutput=append:%s\nStandardError=inherit\n",
		m.h.marker, m.h.path("s"), m.h.path("out")))
	if m.old {
		replace = append(replace, "Type=notify-reload", "Type=notify\nExecReload=/bin/kill -HUP $MAINPID", "#Environment=FDSTORE", "Environment=FDSTORE")
	}
	touch(m.h, to, strings.NewReplacer(replace...).Replace(m.h.read(to)))
}

// TestSystemd runs the units of packaging/ under a real systemd: it knows when
// lastcall is ready and has reloaded, and no restart loses a client: with
// sockets in its store, and with sockets of its own.
func TestSystemd(t *testing.T) {
	h := found(t)
	m := managed(h)
	h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nworkers = 2\nlisten = [\"web\"]\n", h.addr, h.path("brisk")))
	m.unit("lastcall.service")
	m.do("start", "lastcall.service")
	if got := m.do("show", "-P", "StatusText", "lastcall.service"); got != "2 workers ready" {
		t.Errorf("status %q", got)
	}
	m.restarts()
	m.do("stop", "lastcall.service")
	m.ended()
	h.free()

	m.unit("lastcall.socket")
	m.unit("lastcall.service", "FileDescriptorStoreMax=8\n", "", "#Environment=FDSTORE=8\n", "")
	m.do("daemon-reload")
	m.do("start", "lastcall.socket")
	m.restarts()
	m.do("stop", "lastcall.service", "lastcall.socket")
	m.ended()
	h.free()
}

// restarts wants reloads and restarts that no client notices.
func (m *manager) restarts() {
	m.h.t.Helper()
	end := comers("tcp", m.h.addr, 4)
	var pid string
	for range 3 {
		m.h.until("it is active", func() bool {
			out, _ := m.systemctl("is-active", "lastcall.service").Output()
			return string(out) == "active\n"
		})
		before := m.h.workers()
		m.do("reload", "lastcall.service")
		m.h.until("the reload has replaced the workers", func() bool {
			now := m.h.workers()
			return len(now) == len(before) && !slices.ContainsFunc(now, func(w control.Worker) bool { return w.Generation == before[0].Generation })
		})
		m.do("restart", "lastcall.service")
		now := m.do("show", "-P", "MainPID", "lastcall.service")
		if now == cmp.Or(pid, "0") {
			m.h.t.Errorf("still process %s", now)
		}
		pid = now
		m.h.do("upgrade")
		if got := m.do("show", "-P", "MainPID", "lastcall.service"); got != pid {
			m.h.t.Errorf("process %s after the upgrade, want %s", got, pid)
		}
	}
	if answered, lost := end(); answered < 4 || len(lost) > 0 {
		m.h.t.Errorf("%d requests, %d lost: %v", answered, len(lost), lost)
	}
}

// ended wants a service that has ended well, and left nothing.
func (m *manager) ended() {
	m.h.t.Helper()
	if got := m.do("show", "-P", "ActiveState", "-P", "Result", "-P", "NRestarts", "lastcall.service"); !strings.Contains(got, "inactive") || !strings.Contains(got, "success") {
		m.h.t.Errorf("it ended as %q", got)
	}
	if left := m.h.left(); len(left) > 0 {
		m.h.t.Errorf("left %v", left)
	}
}

// TestUnitsParse has systemd read the units: whatever it does not know it says.
func TestUnitsParse(t *testing.T) {
	h := found(t)
	m := &manager{h: h, old: true} // what is older than notify-reload parses what is newer
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip(err)
	}
	h.configure("")
	m.unit("lastcall.service")
	m.unit("lastcall.socket")
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", h.path("home/units/lastcall.service"), h.path("home/units/lastcall.socket"))
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, h.dir) || strings.Contains(line, "lastcall.") {
			t.Error(line)
		}
	}
	if err != nil && !strings.Contains(string(out), "lastcall") {
		t.Logf("%v: %s", err, out) // of this machine's own units
	}
}
