package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// packaged puts a file of packaging/ into the house, with its own paths.
func (h *house) packaged(file, to string) {
	h.t.Helper()
	from := filepath.Join("..", "..", "packaging", file)
	text, err := os.ReadFile(from)
	if err != nil {
		h.t.Fatal(err)
	}
	info, err := os.Stat(from)
	if err != nil {
		h.t.Fatal(err)
	}
	replaced := strings.NewReplacer("/usr/local/bin/lastcall", h.path("lastcall"), "/etc/lastcall", h.dir).Replace(string(text))
	if err := os.MkdirAll(filepath.Dir(h.path(to)), 0o777); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.path(to), []byte(replaced), info.Mode()); err != nil {
		h.t.Fatal(err)
	}
}

// under starts a program that starts lastcall from the house, on a server in which
// a request is in progress afterwards: done carries how it ended.
func under(t *testing.T, program string, prepare func(h *house) []string) (h *house, tool func(args ...string) *exec.Cmd, done chan error) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed: scripts/setup", program)
	}
	h = found(t)
	h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nworkers = 2\nlisten = [\"web\"]\n", h.addr, h.path("worker")))
	args := prepare(h)
	tool = func(args ...string) *exec.Cmd {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = h.dir, h.command().Env
		return cmd
	}
	h.startAs(tool(append([]string{path}, args...)...))
	h.until("it is ready", func() bool { return h.command("status").Run() == nil && strings.Contains(h.all(), "msg=ready\n") })
	done = make(chan error, 1)
	go func() {
		r, err := http.Get("http://" + h.addr + "/work/a")
		if err == nil {
			r.Body.Close()
		}
		done <- err
	}()
	h.until("the request is in progress", func() bool { return strings.Contains(h.read("journal"), "begun\n") })
	return h, tool, done
}

// all is what lastcall has written, wherever its parent puts that.
func (h *house) all() string { return h.read("log") + h.read("out") }

// stopsBy stops lastcall by its parent's own command, in whose midst the request
// ends, and wants it answered and all gone but the parent.
func (h *house) stopsBy(stop *exec.Cmd, done chan error) {
	h.t.Helper()
	var out strings.Builder
	stop.Stdout, stop.Stderr = &out, &out
	if err := stop.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.until("it drains", func() bool { return strings.Contains(h.all(), "msg=draining") })
	touch(h, "go", "")
	if err := <-done; err != nil {
		h.t.Error(err)
	}
	if err := stop.Wait(); err != nil {
		h.t.Errorf("%v: %v: %s", stop.Args, err, out.String())
	}
	h.until("it has ended well", func() bool { return strings.Contains(h.all(), `msg="supervisor ended" code=0`) })
	h.free()
}

// endsParent ends what has run lastcall, and wants nothing left.
func (h *house) endsParent(sig syscall.Signal) {
	h.t.Helper()
	h.send(sig)
	_ = h.cmd.Wait()
	if left := h.left(); len(left) > 0 {
		h.t.Errorf("left %v", left)
	}
}

// supervised prepares supervisord for the file of packaging/.
func supervised(h *house) []string {
	h.t.Helper()
	h.packaged("supervisord/lastcall.conf", "lastcall.conf")
	touch(h, "supervisord.conf", fmt.Sprintf(`[supervisord]
nodaemon=true
logfile=%[1]s/supervisord.log
pidfile=%[1]s/supervisord.pid
childlogdir=%[1]s
[unix_http_server]
file=%[1]s/ctl
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%[1]s/ctl
%[2]s
`, h.dir, strings.ReplaceAll(h.read("lastcall.conf"), "=AUTO", "="+h.path("out"))))
	return []string{"-c", h.path("supervisord.conf")}
}

// TestSupervisord runs lastcall by the file of packaging/, and stops it with
// supervisorctl.
func TestSupervisord(t *testing.T) {
	h, tool, done := under(t, "supervisord", supervised)
	h.stopsBy(tool("supervisorctl", "-c", h.path("supervisord.conf"), "stop", "lastcall"), done)
	if log := h.read("supervisord.log"); !strings.Contains(log, "stopped: lastcall (exit status 0)") {
		t.Errorf("supervisord: %s", log)
	}
	h.endsParent(syscall.SIGTERM)
}

// TestRunit runs lastcall by the directory of packaging/, and stops it with sv.
func TestRunit(t *testing.T) {
	h, tool, done := under(t, "runsv", func(h *house) []string {
		h.packaged("runit/lastcall/run", "service/run")
		h.packaged("runit/lastcall/finish", "service/finish")
		return []string{h.path("service")}
	})
	h.stopsBy(tool("sv", "-w", "60", "stop", h.path("service")), done)
	if out, err := tool("sv", "exit", h.path("service")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	_ = h.cmd.Wait()
	if left := h.left(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestS6 runs lastcall by the directory of packaging/, waits for the line on its
// descriptor, and stops it with s6-svc. A bad configuration is not tried again.
func TestS6(t *testing.T) {
	h, tool, done := under(t, "s6-supervise", func(h *house) []string {
		for _, name := range []string{"run", "finish", "notification-fd"} {
			h.packaged("s6/lastcall/"+name, "service/"+name)
		}
		return []string{h.path("service")}
	})
	if out, err := tool("s6-svwait", "-U", "-t", "60000", h.path("service")).CombinedOutput(); err != nil {
		t.Errorf("s6 has not been told that it is ready: %v: %s", err, out)
	}
	h.stopsBy(tool("s6-svc", "-wD", "-T", "60000", "-d", h.path("service")), done)
	h.configure("nonsense")
	if out, err := tool("s6-svc", "-u", "-wD", "-T", "60000", h.path("service")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	h.until("s6 knows that it is not to be started", func() bool {
		out, _ := tool("s6-svstat", "-o", "wantedup,exitcode", h.path("service")).Output()
		return string(out) == "false 78\n"
	})
	if out, err := tool("s6-svc", "-x", "-d", h.path("service")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	_ = h.cmd.Wait()
	if left := h.left(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestFirstProcess runs lastcall as pid 1 of a namespace, as in a container: it
// reaps strangers, drains by TERM, and its exit code is the container's.
func TestFirstProcess(t *testing.T) {
	if out, err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").CombinedOutput(); err != nil {
		t.Skipf("unshare: %v: %s", err, out)
	}
	h, _, done := under(t, "unshare", func(h *house) []string {
		h.configure(h.read("lastcall.toml") + `
[program.strays]
command = ["sh", "-c", "(setsid sh -c 'sleep 0.1; echo gone >>journal' &) ; trap 'exit 7' TERM; sleep 600 & wait"]
min_uptime = "10ms"
`)
		return []string{"--pid", "--fork", "--kill-child", "--mount-proc", h.path("lastcall"), "run"}
	})
	children := func(pid int) []string {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
		return strings.Fields(string(text))
	}
	first, err := strconv.Atoi(strings.Join(children(h.cmd.Process.Pid), ""))
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", first)); !strings.Contains(string(status), fmt.Sprintf("NSpid:\t%d\t1\n", first)) {
		t.Fatalf("not the first of a namespace:\n%s", status)
	}
	h.until("the stranger is reaped", func() bool {
		if !strings.Contains(h.read("journal"), "gone\n") {
			return false
		}
		for _, pid := range children(first) {
			if stat, _ := os.ReadFile("/proc/" + pid + "/stat"); strings.Contains(string(stat), ") Z ") {
				return false
			}
		}
		return true
	})
	if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.until("it drains", func() bool { return strings.Contains(h.read("log"), "msg=draining worker=web") })
	touch(h, "go", "")
	if err := <-done; err != nil {
		t.Error(err)
	}
	h.ends(6) // one has ended with 7
}
