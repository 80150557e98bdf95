package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// notifyDirs are the directories of notify sockets that there are.
func (h *house) notifyDirs() []string {
	dirs, _ := filepath.Glob(h.temp + "/lastcall-notify-*")
	return dirs
}

// notifySockets returns the names in the one directory of notify sockets.
func (h *house) notifySockets() (names []string) {
	h.t.Helper()
	dirs := h.notifyDirs()
	if len(dirs) != 1 {
		h.t.Fatalf("the directories of notify sockets are %v", dirs)
	}
	entries, err := os.ReadDir(dirs[0])
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// speaker is a worker of which each life notes where it is to say READY=1, says
// that, and says more when it is asked by HUP. What lives say is in the status.
const speaker = `["/usr/bin/python3", "-c", '''
import os, signal, socket, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
def again(*_):
    notify.send(b"STATUS=again")
signal.signal(signal.SIGHUP, again)
with open("journal", "a") as journal:
    journal.write(os.environ["NOTIFY_SOCKET"] + "\n")
notify.send(b"READY=1")
while True:
    time.sleep(600)
''']`

func speaks(t *testing.T, more string) *house {
	h := found(t)
	h.configure(fmt.Sprintf("[program.web]\ncommand = %s\nready = \"notify\"\n%s", speaker, more))
	return h
}

// saysAgain wants the worker to be heard now.
func (h *house) saysAgain() {
	h.t.Helper()
	if out, err := h.command("signal", "HUP", "web.0").CombinedOutput(); err != nil {
		h.t.Fatalf("signal: %v: %s", err, out)
	}
	h.until("it says something again", func() bool { return strings.Contains(h.output("status"), "again") })
}

// A life's notify socket has a path as long as the life, through upgrades. With
// the supervisor its directory goes.
func TestNotifySocketOfALife(t *testing.T) {
	t.Parallel()
	h := speaks(t, "")
	h.start()
	h.logged("msg=ready\n")
	first := h.notifySockets()
	if want := filepath.Join(h.notifyDirs()[0], first[0]) + "\n"; len(first) != 1 || h.read("journal") != want {
		t.Errorf("the worker has %q, and there are %v", h.read("journal"), first)
	}
	h.output("restart", "web")
	h.until("the old life's is gone", func() bool { return len(h.notifySockets()) == 1 })
	second := h.notifySockets()
	if slices.Equal(first, second) {
		t.Errorf("both lives had %v", first)
	}
	dirs := h.notifyDirs()
	h.output("upgrade")
	h.saysAgain()
	if after := h.notifySockets(); !slices.Equal(after, second) || !slices.Equal(h.notifyDirs(), dirs) {
		t.Errorf("before the upgrade there was %v in %v, after it %v in %v", second, dirs, after, h.notifyDirs())
	}
	h.output("restart", "web")
	h.until("that of the life before the upgrade is gone", func() bool { return len(h.notifySockets()) == 1 && !slices.Equal(h.notifySockets(), second) })
	h.stops(0)
	if left := h.notifyDirs(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// Of a supervisor that is killed, and of one that is once it was upgraded, the
// guard removes it.
func TestNotifySocketOfTheKilled(t *testing.T) {
	t.Parallel()
	for _, upgraded := range []bool{false, true} {
		h := speaks(t, "")
		h.start()
		h.logged("msg=ready\n")
		if upgraded {
			h.output("upgrade")
		}
		h.notifySockets()
		if err := h.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		h.until("nothing is left", func() bool { return len(h.left()) == 0 })
		if left := h.notifyDirs(); len(left) > 0 {
			t.Errorf("upgraded %v: left %v", upgraded, left)
		}
	}
}

// Where no path can be had a notify socket has an abstract name, which is said
// once, and which a life keeps through an upgrade to a supervisor that has paths.
func TestNotifySocketWithoutAPath(t *testing.T) {
	t.Parallel()
	const said = "notify sockets have abstract names"
	h := speaks(t, "workers = 2")
	if err := os.Remove(h.temp); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.logged("msg=ready\n")
	h.says(said, 1)
	if err := os.Mkdir(h.temp, 0o777); err != nil { // the state of an upgrade needs it too
		t.Fatal(err)
	}
	h.output("upgrade")
	h.saysAgain()
	h.output("restart", "web")
	if got := h.notifySockets(); len(got) != 2 {
		t.Errorf("of two new lives there are %v", got)
	}
	for i, name := range strings.Fields(h.read("journal")) {
		if want := map[bool]string{true: "@lastcall/web.", false: h.temp}[i < 2]; !strings.HasPrefix(name, want) {
			t.Errorf("life %d has %s, want %s...", i+1, name, want)
		}
	}
	h.says(said, 1)
	h.stops(0)
}

// Ruby's sd_notify, which is part of puma and takes what it is given for a path,
// is heard.
func TestNotifySocketOfRuby(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ruby"); err != nil {
		t.Skip(err)
	}
	h := found(t)
	h.configure(`
[program.web]
command = ["ruby", "-rsocket", "-e", '''
Addrinfo.unix(ENV["NOTIFY_SOCKET"], :DGRAM).connect { |s| s.close_on_exec = true; s.write("READY=1") }
sleep
''']
ready = "notify"
`)
	h.start()
	h.logged("msg=ready\n")
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
}

// A worker of another user is heard, whatever the umask of root.
func TestNotifySocketOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may start programs of other users")
	}
	h := found(t)
	h.configure(`
[program.web]
command = ["/usr/bin/python3", "-c", '''
import os, socket, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
notify.send(b"READY=1")
time.sleep(600)
''']
user = "nobody"
dir = "/"
ready = "notify"
`)
	run := h.command("run")
	run.Args = []string{"sh", "-c", `umask 077; exec "$0" run`, run.Path}
	run.Path = "/bin/sh"
	h.startAs(run)
	h.logged("msg=ready\n")
	h.notifySockets()
	h.stops(0)
}
