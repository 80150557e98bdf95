package lastcall

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// A player is a test binary that plays a role.
type player struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *bufio.Scanner
	in   io.ReadCloser // of out
	logs *logBuffer    // its stderr
	addr string
}

// playRole starts one, with files as descriptors 3 and on.
func playRole(t *testing.T, role string, env []string, files ...*os.File) *player {
	t.Helper()
	return playCommand(t, exec.Command(os.Args[0]), role, env, files...)
}

func playCommand(t *testing.T, cmd *exec.Cmd, role string, env []string, files ...*os.File) *player {
	t.Helper()
	p := &player{t: t, cmd: cmd, logs: &logBuffer{}}
	cmd.Env = append(append(os.Environ(), "LASTCALL_TEST_ROLE="+role, "GORACE=atexit_sleep_ms=0"), env...)
	cmd.Stderr = p.logs
	cmd.ExtraFiles = files
	var err error
	if p.in, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(p.in)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return p
}

// serving waits for the address it serves.
func (p *player) serving() *player {
	p.t.Helper()
	p.addr = p.line("serving ")
	return p
}

// line waits for a line of output that begins so, and returns its rest.
func (p *player) line(prefix string) string {
	p.t.Helper()
	got := make(chan string, 1)
	go func() {
		for p.out.Scan() {
			if rest, ok := strings.CutPrefix(p.out.Text(), prefix); ok {
				got <- rest
				return
			}
		}
		close(got)
	}()
	return within(p.t, "a line "+prefix, got)
}

func (p *player) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

// log waits for something in its log.
func (p *player) log(what string) {
	p.t.Helper()
	eventually(p.t, "a log of "+what, func() bool { return strings.Contains(p.logs.String(), what) })
}

// exited wants it to end with a status.
func (p *player) exited(status int) {
	p.t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	within(p.t, "the process ends", done)
	if got := p.cmd.ProcessState; got.ExitCode() != status {
		p.t.Errorf("%v, want status %d; stderr:\n%s", got, status, p.logs)
	}
}

// TestFlushBeforeExit has the process end right after a response that its
// client reads slowly: what was written comes, whole.
func TestFlushBeforeExit(t *testing.T) {
	p := playRole(t, "server", nil).serving()
	c := dial(t, p.addr)
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	c.get("/megabyte")
	p.line("entered")
	p.signal(syscall.SIGTERM)
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	buf := make([]byte, 64<<10)
	for err == nil {
		var m int
		m, err = r.Body.Read(buf)
		n += m
		<-time.After(time.Millisecond)
	}
	if n != megabytes || err != io.EOF {
		t.Errorf("%d bytes, %v", n, err)
	}
	p.exited(0)
}

// TestInterrupts counts the keyboard's: drain, tell, cut. TERM is one, always.
func TestInterrupts(t *testing.T) {
	p := playRole(t, "server", nil).serving()
	c := dial(t, p.addr)
	c.get("/stuck")
	p.line("entered")
	p.signal(syscall.SIGTERM)
	p.log("INFO draining")
	for range 10 {
		p.signal(syscall.SIGTERM)
	}
	for i := range 2 {
		p.signal(syscall.SIGINT)
		eventually(t, "it says what it waits for", func() bool {
			return strings.Count(p.logs.String(), "WARN still draining operations=1") == i+1
		})
	}
	if !strings.Contains(p.logs.String(), "oldest=\"GET /stuck (critical") {
		t.Errorf("log:\n%s", p.logs)
	}
	p.signal(syscall.SIGINT)
	if line := p.line("cut: "); !strings.Contains(line, "GET /stuck (critical") {
		t.Errorf("cut: %s", line)
	}
	p.exited(5)
}

// TestSignalsAfterServe have their own meaning again.
func TestSignalsAfterServe(t *testing.T) {
	p := playRole(t, "signalled again", nil).serving()
	p.signal(syscall.SIGINT)
	p.line("served")
	p.signal(syscall.SIGTERM)
	p.exited(-1)
}

// listening returns a listening socket for a child, and its address.
func listening(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, l.Addr().String()
}

// TestSupervised is born as a worker: it takes sockets and channel, hides them
// from its children, and survives the end of those that read its output.
func TestSupervised(t *testing.T) {
	channel, fd, err := wire.Pair()
	if err != nil {
		t.Skip(err)
	}
	defer channel.Close()
	ch := os.NewFile(uintptr(fd), "channel")
	l, addr := listening(t)
	env := wire.Env{Program: "web", Slot: 1, Workers: 4, Generation: 7, Life: 9, Channel: 4,
		Listeners: []wire.Listener{{Name: "web", Network: "tcp", Address: addr}}}
	p := playRole(t, "worker", append(env.Encode(), "NOTIFY_SOCKET=/nonexistent", "WATCHDOG_USEC=1000"), l, ch)
	ch.Close()
	next := func() wire.Message {
		t.Helper()
		got := make(chan wire.Message, 1)
		go func() {
			m, err := channel.Receive()
			if err != nil {
				t.Error(err)
			}
			got <- m
		}()
		return within(t, "a message", got)
	}
	if m := next(); m.Hello == nil {
		t.Fatalf("%+v, want Hello", m)
	}
	if m := next(); m.Ready == nil {
		t.Fatalf("%+v, want Ready", m)
	}
	if p.serving(); p.addr != addr {
		t.Errorf("serves %s, not the inherited %s", p.addr, addr)
	}

	c := dial(t, addr)
	c.get("/environment")
	_, body := c.response()
	var left []string
	for line := range strings.Lines(body) {
		name, _, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, "LISTEN_") || strings.HasPrefix(name, "NOTIFY") || strings.HasPrefix(name, "WATCHDOG") ||
			strings.HasPrefix(name, "LASTCALL_") && name != "LASTCALL_TEST_ROLE" {
			left = append(left, strings.TrimSpace(line))
		}
	}
	slices.Sort(left)
	want := "[LASTCALL_GENERATION=7 LASTCALL_LIFE=9 LASTCALL_SLOT=1 LASTCALL_WORKER=web.1 LASTCALL_WORKERS=4]"
	if fmt.Sprint(left) != want {
		t.Errorf("its children see %v\nwant %s", left, want)
	}

	if err := channel.Send(wire.Message{Drain: &wire.Drain{Reason: wire.ReasonStop, Timeout: patience}}); err != nil {
		t.Fatal(err)
	}
	if m := next(); m.Closed == nil || len(m.Closed.Listeners) != 1 {
		t.Errorf("%+v, want Closed", m)
	}
	if m := next(); m.Drained == nil {
		t.Errorf("%+v, want Drained", m)
	}
	if again := p.line("again: "); !strings.Contains(again, "web.1") {
		t.Errorf("second Serve of the process: %s", again)
	}
	p.exited(0)
}

// TestSupervisorDies takes the channel and the readers of its output away.
func TestSupervisorDies(t *testing.T) {
	channel, fd, err := wire.Pair()
	if err != nil {
		t.Skip(err)
	}
	ch := os.NewFile(uintptr(fd), "channel")
	l, addr := listening(t)
	env := wire.Env{Program: "web", Channel: 4, Listeners: []wire.Listener{{Name: "web", Network: "tcp", Address: addr}}}
	p := playRole(t, "simple", env.Encode(), l, ch)
	ch.Close()
	c := dial(t, addr)
	c.get("/first")
	c.response()
	p.in.Close() // nobody reads stdout any more
	for range 3 {
		c.get("/write")
		if r, _ := c.response(); r.StatusCode != 200 {
			t.Errorf("%s", r.Status)
		}
	}
	channel.Close()
	p.exited(0)
}

// TestActivated is started as systemd starts a service: with a socket, a place
// to say that it is ready, and a watchdog.
func TestActivated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	if err := notify.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	until := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		for {
			n, err := notify.Read(buf)
			if err != nil {
				t.Fatalf("%s: %v", want, err)
			}
			if string(buf[:n]) == want {
				return
			}
		}
	}
	l, addr := listening(t)
	p := playRole(t, "activated", []string{"LISTEN_FDS=1", "NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=20000"}, l)
	if p.serving(); p.addr != addr {
		t.Errorf("serves %s, not the inherited %s", p.addr, addr)
	}
	until("READY=1")
	until("WATCHDOG=1")
	until("WATCHDOG=1")
	p.signal(syscall.SIGTERM)
	until("STOPPING=1")
	p.exited(0)

	// The socket is the manager's: it goes on listening for who comes next.
	queued := dial(t, addr)
	queued.get("/next")
	next := playRole(t, "activated", []string{"LISTEN_FDS=1"}, l)
	if _, body := queued.response(); body != "next" {
		t.Errorf("%q", body)
	}
	next.signal(syscall.SIGTERM)
	next.exited(0)
}

// TestAsPid1 stops a process that is the first of a container.
func TestAsPid1(t *testing.T) {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command(unshare, "-pf", "true").CombinedOutput(); err != nil {
		t.Skipf("unshare -pf: %v: %s", err, out)
	}
	p := playCommand(t, exec.Command(unshare, "-pf", "--kill-child", os.Args[0]), "server", nil).serving()
	first := onlyChild(t, p.cmd.Process.Pid)
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", first)); err != nil || !strings.Contains(string(status), "\t1\n") {
		t.Fatalf("not the first of a namespace: %v\n%s", err, status)
	}
	c := dial(t, p.addr)
	c.get("/megabyte")
	p.line("entered")
	if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, body := c.response(); len(body) != megabytes {
		t.Errorf("%d bytes", len(body))
	}
	p.exited(0)
}

func onlyChild(t *testing.T, pid int) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("no /proc")
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		t.Skip(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatalf("children of %d: %q", pid, b)
	}
	return child
}
