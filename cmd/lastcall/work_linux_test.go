package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// teller is a worker that knows nothing of lastcall but systemd's protocol. It
// says what comes on the pipe "say", a line a datagram, with | for the end of a
// line; notes the signals it gets, of which the last ends it; and before that
// says what its second argument is.
const teller = `
import os, select, signal, socket, sys
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
def say(text): notify.send(text.replace("|", "\n").encode())
def note(text):
    with open("journal", "a") as f: f.write(text + "\n")
names = sys.argv[1].split(",")
def caught(number, frame):
    name = signal.Signals(number).name[3:]
    note(name)
    if name == names[-1]:
        for text in sys.argv[2:]: say(text)
        os._exit(0)
for name in names: signal.signal(getattr(signal, "SIG" + name), caught)
pipe = os.open("say", os.O_RDWR)
signalled, wakes = os.pipe() # a signal just before a read would be taken after it
os.set_blocking(wakes, False)
signal.set_wakeup_fd(wakes)
say("READY=1|STATUS=" + os.environ.get("LASTCALL_DRAIN_USEC", ""))
while True:
    for fd in select.select([pipe, signalled], [], [])[0]:
        came = os.read(fd, 4096)
        if fd == pipe:
            for line in came.decode().splitlines(): say(line)
`

// tells starts one teller, as program web with the settings, and its arguments
// behind the signals it gets.
func tells(t *testing.T, settings, signals string, last ...string) *house {
	t.Helper()
	h := found(t)
	if err := os.WriteFile(h.path("teller.py"), []byte(teller), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(h.path("say"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"/usr/bin/python3", "teller.py", signals}
	h.configure(fmt.Sprintf("[program.web]\ncommand = %s\n%s\n", quoted(append(args, last...)), settings))
	h.start()
	h.logged("msg=ready\n")
	return h
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = fmt.Sprintf("%q", text)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// say has the teller say something.
func (h *house) say(text string) {
	h.t.Helper()
	pipe, err := os.OpenFile(h.path("say"), os.O_RDWR, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := fmt.Fprintln(pipe, text); err != nil {
		h.t.Fatal(err)
	}
}

// does has the teller begin an operation, and returns when it is known.
func (h *house) does(text string) {
	h.t.Helper()
	h.say(text)
	name := text[strings.LastIndex(text, "=")+1:]
	h.until(name+" is in progress", func() bool { return strings.Contains(h.output("inflight"), name) })
}

// output is what a command prints on both streams, whatever becomes of it.
func (h *house) output(args ...string) string {
	out, _ := h.command(args...).CombinedOutput()
	return string(out)
}

// journal wants what the teller has noted.
func (h *house) journal(want ...string) {
	h.t.Helper()
	if got := strings.Fields(h.read("journal")); !slices.Equal(got, want) {
		h.t.Errorf("it has noted %q, want %q", got, want)
	}
}

// What a worker has in progress is listed, holds nothing where there is no
// close_signal, and is named when it is cut: in the log, to the operator, and by
// the exit code.
func TestWorkIsNamedWhenCut(t *testing.T) {
	t.Parallel()
	h := tells(t, "", "TERM")
	h.does("X_LASTCALL_BEGIN=work a")
	h.does("X_LASTCALL_CLASS=expendable|X_LASTCALL_BEGIN=work b")
	h.say("X_LASTCALL_BEGIN=work c|X_LASTCALL_END=work c|X_LASTCALL_END=nothing")
	if w := h.worker("web.0"); w.Inflight != 2 || w.Status != "25000000" {
		t.Errorf("%+v, want two operations and its drain timeout", w)
	}
	if out := h.output("inflight"); !strings.Contains(out, "work a     critical") || !strings.Contains(out, "work b     expendable") || strings.Contains(out, "work c") {
		t.Errorf("inflight:\n%s", out)
	}
	out := h.output("stop", "web.0")
	if !strings.Contains(out, "web.0 ended with work in progress\n  cut: web.0 work a (critical") || strings.Contains(out, "work b") {
		t.Errorf("stop says %s", out)
	}
	if !strings.Contains(h.read("log"), `cut="work a (critical`) {
		t.Error("the log does not name it")
	}
	h.journal("TERM")
	if err := h.command("start", "web.0").Run(); err != nil {
		t.Error(err)
	}
	h.does("X_LASTCALL_BEGIN=work d")
	h.stops(5)
}

// What it says last is heard before its end is judged: it has cut nothing.
func TestLastWordsAreHeard(t *testing.T) {
	t.Parallel()
	var begin, end []string
	for i := range 9 { // as many as a socket holds at the least
		begin, end = append(begin, fmt.Sprint("X_LASTCALL_BEGIN=work ", i)), append(end, fmt.Sprint("X_LASTCALL_END=work ", i))
	}
	h := tells(t, "", "TERM", end...)
	for range 10 {
		h.does(strings.Join(begin, "|"))
		if out, err := h.command("stop", "web.0").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if err := h.command("start", "web.0").Run(); err != nil {
			t.Fatal(err)
		}
	}
	h.stops(0)
}

// With a close_signal the stop signal waits for the end of what is critical; who
// waits is told for what.
func TestCloseSignalWaitsForWork(t *testing.T) {
	t.Parallel()
	h := tells(t, `close_signal = "WINCH"`, "WINCH,TERM")
	h.does("X_LASTCALL_CLASS=expendable|X_LASTCALL_BEGIN=work b")
	h.does("X_LASTCALL_BEGIN=work a")
	h.send(syscall.SIGTERM)
	h.logged(`msg=waiting worker=web.0 state=draining for="work a (critical`)
	h.journal("WINCH")
	h.say("X_LASTCALL_END=work a")
	h.ends(0)
	h.journal("WINCH", "TERM")
}

// Work that does not end is cut at the deadline, and its worker has stop_timeout
// to end then.
func TestCloseSignalAndTheDeadline(t *testing.T) {
	t.Parallel()
	h := tells(t, "close_signal = \"USR1\"\ndrain_timeout = \"1s\"", "USR1,TERM")
	h.does("X_LASTCALL_BEGIN=work a")
	began := time.Now()
	h.stops(5)
	if took := time.Since(began); took < time.Second {
		t.Errorf("it took %v", took)
	}
	h.journal("USR1", "TERM")
	if !strings.Contains(h.read("log"), `cut="work a (critical`) {
		t.Error("the log does not name it")
	}
}

// A worker may ask for more time up to drain_timeout_max, counted from the begin
// of its drain, and is killed then.
func TestExtendUpToTheMaximum(t *testing.T) {
	t.Parallel()
	h := tells(t, "drain_timeout = \"1s\"\ndrain_timeout_max = \"2s\"", "TERM,USR1")
	h.does("X_LASTCALL_BEGIN=work a")
	began := time.Now()
	h.send(syscall.SIGTERM)
	h.until("it is asked", func() bool { return h.read("journal") == "TERM\n" })
	h.say("EXTEND_TIMEOUT_USEC=3600000000")
	h.logged(`msg="asks for more time" worker=web.0 life=1 state=draining left=`)
	h.say("EXTEND_TIMEOUT_USEC=3600000000") // in vain
	h.ends(6)
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("killed after %v", took)
	}
	log := h.read("log")
	if strings.Count(log, "asks for more time") != 1 || !strings.Contains(log, `msg=cutting worker=web.0`) || !strings.Contains(log, `cut="work a (critical`) {
		t.Error("the log says something else")
	}
}

// Without a maximum asking changes nothing while it drains; while it starts it
// does.
func TestExtendTheStart(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.configure(`
[program.slow]
command = ["sh", "-c", "systemd-notify EXTEND_TIMEOUT_USEC=60000000; echo asked >>journal; while ! [ -e go ]; do sleep 0.05; done; systemd-notify --ready --status=here; exec sleep 600"]
ready_timeout = "1s"
min_uptime = "1h"
drain_timeout = "1s"
`)
	h.start()
	h.until("it has asked", func() bool { return strings.Contains(h.read("journal"), "asked") })
	<-time.After(1500 * time.Millisecond) // longer than it would have had
	if err := os.WriteFile(h.path("go"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	h.logged("msg=ready\n")
	if w := h.worker("slow.0"); w.Status != "here" {
		t.Errorf("%+v", w)
	}
	h.stops(0)
}

// A worker that says so is replaced as if it had given no sign.
func TestWatchdogTrigger(t *testing.T) {
	t.Parallel()
	h := tells(t, "drain_timeout = \"100ms\"", "TERM,ABRT")
	h.say("WATCHDOG=trigger")
	h.logged("msg=gone worker=web.0 life=1")
	h.order(`msg="to be replaced" worker=web.0 life=1 reason="watchdog: it says that it hangs"`, "msg=ready worker=web.0 life=2", "msg=cutting worker=web.0 life=1")
	h.journal("ABRT")
	h.stops(6) // by KILL: it does not end by TERM
}

// A worker may set its watchdog itself.
func TestWatchdogInterval(t *testing.T) {
	t.Parallel()
	h := tells(t, "", "TERM,ABRT")
	h.say("WATCHDOG_USEC=100000")
	h.logged(`msg="to be replaced" worker=web.0 life=1 reason="watchdog: no sign of life for 100ms"`)
	h.logged("msg=gone worker=web.0 life=1")
	h.journal("ABRT")
}

// One that ends by itself is not ready any more, and is followed when it is gone.
func TestStoppingByItself(t *testing.T) {
	t.Parallel()
	h := tells(t, "", "USR1")
	h.say("STOPPING=1")
	h.logged(`msg=draining worker=web.0 life=1`)
	h.logged(`reason="it says that it ends"`)
	if log := h.read("log"); strings.Contains(log, "life=2") {
		t.Error("its successor starts beside it")
	}
	if err := h.command("signal", "USR1", "web.0").Run(); err != nil {
		t.Error(err)
	}
	h.logged("msg=ready worker=web.0 life=2")
	if !strings.Contains(h.read("log"), `reason="web.0 exited with status 0, as it said"`) {
		t.Error("the log does not say how it ended")
	}
	h.journal("USR1")
}

// A list of signals is sent one after the other, and no sooner.
func TestListOfSignals(t *testing.T) {
	t.Parallel()
	h := tells(t, `stop_signal = ["QUIT", "300ms", "INT", "300ms", "TERM"]`, "QUIT,INT,TERM")
	began := time.Now()
	h.stops(0)
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	h.journal("QUIT", "INT", "TERM")
}

// Who wants no waiting sends the last of them.
func TestListOfSignalsNow(t *testing.T) {
	t.Parallel()
	h := tells(t, `stop_signal = ["QUIT", "10s", "TERM"]`, "QUIT,TERM")
	if out, err := h.command("stop", "web.0", "--now").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if got := h.read("journal"); !strings.HasSuffix(got, "TERM\n") {
		t.Errorf("it has noted %q", got)
	}
}

// An upgrade knows what is in progress, which signals were sent, and when the
// next one comes.
func TestUpgradeKeepsWork(t *testing.T) {
	t.Parallel()
	h := tells(t, "listen = [\"127.0.0.1:0\"]\nclose_signal = \"WINCH\"\nstop_signal = [\"QUIT\", \"1s\", \"TERM\"]", "WINCH,QUIT,TERM")
	h.does("X_LASTCALL_BEGIN=work a")
	h.send(syscall.SIGWINCH)
	h.until("it is told to close", func() bool { return h.read("journal") == "WINCH\n" })
	upgrades := 0
	upgrade := func() {
		t.Helper()
		upgrades++
		h.send(syscall.SIGUSR2)
		h.until("it is upgraded", func() bool { return strings.Count(h.read("log"), `msg="supervisor upgraded"`) == upgrades })
	}
	upgrade()
	if out := h.output("inflight"); !strings.Contains(out, "work a") {
		t.Errorf("after the upgrade it does %s", out)
	}
	h.say("X_LASTCALL_END=work a")
	h.until("it has its stop signal", func() bool { return h.read("journal") == "WINCH\nQUIT\n" })
	upgrade()
	h.logged("msg=gone worker=web.0")
	h.journal("WINCH", "QUIT", "TERM")
	if log := h.read("log"); strings.Contains(log, "level=WARN") {
		t.Error("it warns")
	}
	h.stops(0)
}

// A supervisor that is killed between two signals: its guard sends the next, and
// none twice.
func TestKillBetweenTwoSignals(t *testing.T) {
	t.Parallel()
	h := tells(t, `stop_signal = ["QUIT", "1s", "TERM"]`, "QUIT,TERM")
	h.send(syscall.SIGTERM)
	h.until("it has the first", func() bool { return h.read("journal") == "QUIT\n" })
	_ = h.cmd.Process.Kill()
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
	h.journal("QUIT", "TERM")
}

// One that is killed while a worker's operation is waited for: the guard cannot
// hear when it ends, and gives it its time.
func TestKillWhileWorkIsWaitedFor(t *testing.T) {
	t.Parallel()
	h := tells(t, "close_signal = \"WINCH\"\ndrain_timeout = \"2s\"", "WINCH,TERM")
	h.does("X_LASTCALL_BEGIN=work a")
	began := time.Now()
	h.send(syscall.SIGTERM)
	h.until("it is told to close", func() bool { return h.read("journal") == "WINCH\n" })
	_ = h.cmd.Process.Kill()
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was ended after %v", took)
	}
	h.journal("WINCH", "TERM")
}

// A shell script says all it has to say with systemd-notify, which waits until
// it is heard; a language without datagrams writes to the channel.
func TestWorkOfAScript(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"systemd-notify", "/usr/bin/python3"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatal(err)
		}
	}
	h := found(t)
	h.configure(`
[program.shell]
command = ["sh", "-c", "systemd-notify --ready X_LASTCALL_BEGIN='by a shell'; echo said >>journal; exec sleep 600"]
min_uptime = "1h"
[program.channel]
command = ["/usr/bin/python3", "-c", '''
import os, json, time
os.write(int(os.environ["LASTCALL_CHANNEL"]), json.dumps({"notify": {"text": "READY=1\nX_LASTCALL_BEGIN=by the channel"}}).encode())
time.sleep(600)
''']
min_uptime = "1h"
`)
	h.start()
	h.logged("msg=ready\n")
	h.until("it was heard", func() bool { return h.read("journal") == "said\n" })
	out := h.output("inflight")
	if !strings.Contains(out, "shell.0    by a shell") || !strings.Contains(out, "channel.0  by the channel") {
		t.Errorf("inflight:\n%s", out)
	}
	h.stops(5)
	for _, name := range []string{"by a shell", "by the channel"} {
		if !strings.Contains(h.read("log"), `cut="`+name) {
			t.Errorf("the log does not name what was done %s", name)
		}
	}
}
