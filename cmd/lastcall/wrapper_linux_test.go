package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// wrap configures a command with variables, OWN being an address of its own.
func (h *house) wrap(command, env, more string) {
	h.t.Helper()
	h.configure(fmt.Sprintf(`
[listen]
web = %q
[program.web]
command = %s
listen = ["web"]
env = { %s }
%s
`, h.addr, command, env, more))
}

func ownAddress(address string) string { return fmt.Sprintf("OWN = %q", address) }

// says wants a text in the log, so often.
func (h *house) says(text string, times int) {
	h.t.Helper()
	if n := strings.Count(h.read("log"), text); n != times {
		h.t.Errorf("it says %d times %q, want %d", n, text, times)
	}
}

const aWrapper = `msg="a wrapper"`

// A server behind a shell takes a port of its own, or fails since it is taken:
// either way the error of the start says why, and what to write.
func TestServerBehindAShell(t *testing.T) {
	for name, own := range map[string]func(*house) string{
		"elsewhere": func(h *house) string { return freeAddress(h.t) },
		"in use":    func(h *house) string { return h.addr },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := found(t)
			address := own(h)
			h.wrap(fmt.Sprintf(`["sh", "-c", "cd .; %s one 'two words'"]`, h.path("strict")), ownAddress(address), "")
			h.start()
			why := "has started strict (pid "
			if address != h.addr {
				why = "so it ignores the sockets and listens at " + address + " itself: start strict itself"
				h.logged(aWrapper)
				h.kills("web.0") // a start that fails
			}
			h.ends(3)
			h.says("msg=configuration", 1)
			h.says(aWrapper, 1)
			h.says(why, 2)
			h.says(fmt.Sprintf(`start strict itself: command = ["%s", "one", "two words"], or write exec before it`, h.path("strict")), 1)
		})
	}
}

// What a server most often does that knows nothing of passed sockets: it binds the
// address that lastcall has bound for it.
func TestServerThatBindsItsAddressItself(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.wrap(fmt.Sprintf(`["env", "-u", "LISTEN_PID", %q]`, h.path("strict")), ownAddress(h.addr), "")
	h.start()
	h.ends(3)
	h.says("before everything was ready; if the address is "+h.addr+", lastcall has it, and passes it: let the server take that socket, by LISTEN_FDS or {fd:NAME}", 1)
	h.says(aWrapper, 0)
}

// What says READY=1 from behind a wrapper is ready, and serves nobody who comes
// to the sockets: it is said, once for the program.
func TestReadyBehindAShell(t *testing.T) {
	t.Parallel()
	h := found(t)
	own := freeAddress(t)
	h.wrap(fmt.Sprintf(`["sh", "-c", "%s; exit"]`, h.path("strict")), ownAddress(own)+`, SAY = "1"`, `ready = "notify"`)
	h.start()
	h.logged("msg=ready\n")
	h.logged(aWrapper)
	if out, err := h.command("restart", "web").CombinedOutput(); err == nil {
		t.Errorf("a second one at its own address comes up: %s", out)
	} else if !strings.Contains(string(out), "start strict itself") {
		t.Errorf("the verdict does not say why: %s", out)
	}
	h.says(aWrapper, 1)
	h.stops(0)
}

// Who says which process is the main one is believed.
func TestMainPIDBehindAWrapper(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.wrap(`["python3", "-c", "import subprocess, sys; subprocess.call([sys.executable, 'main.py'])"]`, "", `ready = "notify"`)
	if err := os.WriteFile(h.path("main.py"), []byte(`
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
s.send(b"MAINPID=%d" % os.getpid())
time.sleep(0.3)
s.send(b"READY=1")
time.sleep(600)
`), 0o666); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.logged(aWrapper)
	h.logged("msg=ready\n")
	h.says("python3 (pid", 2)
	h.stops(0)
}

// These take their sockets, each in its way: nothing is said about them.
func TestNoWrapper(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]string{
		"exec":    `["sh", "-c", "cd .; exec %s/strict"]`,
		"package": `["sh", "-c", "cd .; %s/brisk; exit"]`, // needs no LISTEN_PID
		"itself":  `["%s/strict"]`,
		"helper":  `["sh", "-c", "sleep 0.3; exec %s/strict"]`, // runs something first
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := found(t)
			h.wrap(fmt.Sprintf(command, h.dir), ownAddress(freeAddress(t)), "")
			h.start()
			h.logged("msg=ready\n")
			h.says(aWrapper, 0)
			h.stops(0)
		})
	}
}

// Real servers that fork their workers are no wrappers, neither when they come
// up nor when they fail to.
func TestServersThatForkAreNoWrappers(t *testing.T) {
	t.Parallel()
	// Where a worker that has just been forked may not hear its stop signal, there
	// is one, which has served before the stop.
	for _, s := range []struct{ name, command, more, files string }{
		{"gunicorn", `["gunicorn", "app:app"]`, "", "app.py"},
		{"gunicorn", `["gunicorn", "-k", "gthread", "--preload", "app:app"]`, "", "app.py"},
		{"gunicorn", `["gunicorn", "--preload", "absent:app"]`, "", ""},
		{"uwsgi", `["uwsgi", "--plugin", "python3", "--master", "--processes", "1", "--die-on-term", "--auto-procname", "--wsgi-file", "app.py", "--callable", "app", "--protocol", "http"]`, "", "app.py"},
		{"puma", `["puma", "-w", "2", "-b", "tcp://ADDRESS"]`, "", "config.ru"},
		{"unicorn", `["unicorn", "-c", "unicorn.rb", "-l", "ADDRESS", "config.ru"]`, `stop_signal = "QUIT"`, "config.ru unicorn.rb"},
		{"nginx", `["nginx", "-c", "DIR/nginx.conf", "-p", "DIR"]`, `stop_signal = "QUIT"`, "nginx.conf"},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(s.name); err != nil {
				t.Skip("no " + s.name + " here; scripts/setup installs it")
			}
			h := found(t)
			place := strings.NewReplacer("ADDRESS", h.addr, "DIR", h.dir)
			for file, text := range map[string]string{
				"app.py":     "def app(env, start):\n    start('200 OK', [])\n    return [b'ok']\n",
				"config.ru":  `run ->(env) { [200, {"Content-Type" => "text/plain"}, ["ok"]] }`,
				"unicorn.rb": "worker_processes 1",
				"nginx.conf": "daemon off;\nworker_processes 2;\npid DIR/nginx.pid;\nerror_log stderr;\nevents {}\nhttp { access_log off; server { listen ADDRESS; return 200 ok; } }\n",
			} {
				if err := os.WriteFile(h.path(file), []byte(place.Replace(text)), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			h.wrap(place.Replace(s.command), `NGINX = "3;"`, s.more)
			h.start()
			if s.files == "" {
				h.ends(3)
			} else {
				h.logged("msg=ready\n")
				h.until("it serves", h.serves) // until then some do not hear their stop signal
				h.stops(0)
			}
			h.says("wrapper", 0)
			h.says("LISTEN_PID", 0)
		})
	}
}

// kills kills a worker that is starting: so its start fails.
func (h *house) kills(name string) {
	h.t.Helper()
	if err := syscall.Kill(h.worker(name).PID, syscall.SIGKILL); err != nil {
		h.t.Fatal(err)
	}
}

// serves tells whether somebody answers.
func (h *house) serves() bool {
	r, err := http.Get("http://" + h.addr)
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// npm starts the server, and keeps the sockets to itself.
func TestNpmIsAWrapper(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("no npm here; scripts/setup installs it")
	}
	t.Parallel()
	h := found(t)
	own := freeAddress(t)
	host, port, _ := strings.Cut(own, ":")
	for file, text := range map[string]string{
		"package.json": `{ "name": "shop", "scripts": { "start": "node server.js --quick" } }`,
		"server.js":    fmt.Sprintf("require('http').createServer((q, r) => r.end('ok')).listen(%s, %q)\n", port, host),
	} {
		if err := os.WriteFile(h.path(file), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	h.wrap(`["npm", "start"]`, "", "")
	out, err := h.command("check").CombinedOutput()
	if want := `write command = ["node", "server.js", "--quick"]`; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("check: %v: %s, want %q", err, out, want)
	}
	h.start()
	h.logged(aWrapper)
	h.says("so it ignores the sockets and listens at "+own+` itself: start node itself: command = [\"node\", \"server.js\", \"--quick\"]`, 1)
	h.says("npm (pid", 1)
	h.kills("web.0")
	h.ends(3)
	h.says(`itself: start node itself: command = ["node", "server.js", "--quick"]; its last lines:`, 1)
}
