package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// saysTo says something to a notify socket, as some user.
const saysTo = `
import socket, sys
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(sys.argv[1])
notify.send(sys.argv[2].encode())
`

// Whoever knows the path of a notify socket, which /proc/net/unix shows to all
// users, has no power over the worker by it.
func TestStrangersNotifications(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may be another user")
	}
	h := speaks(t, "")
	h.start()
	h.logged("msg=ready\n")
	pid := h.worker("web.0").PID
	path := filepath.Join(h.notifyDirs()[0], h.notifySockets()[0])
	for range 2 {
		for _, text := range []string{"STATUS=of a stranger", "STOPPING=1", "X_LASTCALL_BEGIN=nothing", "WATCHDOG=trigger"} {
			c := exec.Command("/usr/bin/python3", "-c", saysTo, path, text)
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		h.saysAgain() // what came before has been read
		if got := h.worker("web.0"); got.PID != pid || got.State != "ready" || !strings.Contains(h.output("inflight"), "nothing in progress") {
			t.Errorf("it is %+v, and does %s", got, h.output("inflight"))
		}
		if n := strings.Count(h.read("log"), "notifications of a stranger are not taken"); n == 0 {
			t.Error("nobody is told")
		}
		h.output("upgrade") // and after it
	}
	h.says("to be replaced", 0)
	h.stops(0)
}

// A worker that gives up its user by itself is heard, and so is what its own
// script says by a program that has ended since.
func TestNotificationsOfAnotherUsersScript(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may be another user")
	}
	h := found(t)
	h.configure(`
[program.web]
command = ["/usr/bin/python3", "-c", '''
import os, socket, time
os.setresuid(65534, 65534, 65534)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
notify.send(b"STATUS=comes up")
pid = os.fork()
if pid == 0:
    notify.send(b"X_LASTCALL_BEGIN=of the child\nREADY=1")
    os._exit(0)
os.waitpid(pid, 0)
time.sleep(600)
''']
dir = "/"
ready = "notify"
`)
	h.start()
	h.logged("msg=ready\n")
	if out := h.output("inflight"); !strings.Contains(out, "of the child") {
		t.Error(out)
	}
	h.says("stranger", 0)
	if out := h.output("stop"); !strings.Contains(out, "of the child") {
		t.Errorf("it was cut, and nobody says so: %s", out)
	}
}
