package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lastcall/lastcall/examples/siege/load"
	"github.com/lastcall/lastcall/internal/testport"
)

// endLimit is how long the end of what must not wait for a deadline of a
// minute may take: it tells the two apart on the busiest machine.
const endLimit = 20 * time.Second

// A stage is one `lastcall run`, as the leader of a session of its own, seen
// from outside, as an operator and a client see it.
type stage struct {
	t      *testing.T
	in     program
	dir    string // what it runs in
	addr   string // of the workers
	redis  string // its port; "": there is none
	cmd    *exec.Cmd
	family []process // all that have been seen of it

	ended chan struct{} // closed when it has ended; endedAt is valid then
	endAt time.Time
}

// A setup says what a scenario has that is not as in lastcall.toml with two
// workers and a drain timeout of 3 s.
type setup struct {
	in    program
	addr  string // "": any that is free
	way   string // "": by class
	drain string // "": 3s
	keys  string // more lines of [program.web]
}

// enter runs siege by the configuration that its README explains, with other
// ports, and waits until it is ready.
func enter(t *testing.T, c setup) *stage {
	t.Helper()
	s := open(t, c)
	s.ready()
	return s
}

// open does not wait.
func open(t *testing.T, c setup) *stage {
	t.Helper()
	s := &stage{t: t, in: c.in, dir: t.TempDir(), addr: cmp.Or(c.addr, freeAddr(t)), ended: make(chan struct{})}
	_, s.redis, _ = strings.Cut(freeAddr(t), ":")
	text := c.in.configure(t, c)
	other := []string{
		"127.0.0.1:8080", s.addr,
		"4740", s.redis,
		"workers = 4", "workers = 2",
		`drain_timeout = "10s"`, c.keys + "\n" + `drain_timeout = "` + cmp.Or(c.drain, "3s") + `"`,
	}
	for i := 0; i < len(other); i += 2 {
		if !strings.Contains(text, other[i]) {
			t.Fatalf("lastcall.toml has no %s any more", other[i])
		}
	}
	text = strings.NewReplacer(other...).Replace(text) // at once: one port may have the digits of another
	if err := os.WriteFile(filepath.Join(s.dir, "lastcall.toml"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(built.path(t, "siege"), filepath.Join(s.dir, "siege")); err != nil {
		t.Fatal(err)
	}
	s.start("SIEGE_WAY="+cmp.Or(c.way, wayClass), "-f", "lastcall.toml")
	return s
}

// start starts the supervisor. Whatever becomes of the test, nothing outlives
// it.
func (s *stage) start(env string, args ...string) {
	s.t.Helper()
	s.cmd = exec.Command(built.path(s.t, "lastcall"), append([]string{"run", "--socket", "c.sock", "--log-format", "json"}, args...)...)
	// The race detector waits for a second before it lets a process end.
	s.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", env)
	s.cmd.Dir = s.dir
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	log, err := os.Create(s.file("log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // the exit code says it all
		s.endAt = time.Now()
		close(s.ended)
	}()
	s.t.Cleanup(s.leave)
}

// leave ends what a test has left, and shows the log of one that failed.
func (s *stage) leave() {
	if s.t.Failed() {
		text, _ := os.ReadFile(s.file("log"))
		s.t.Logf("the log of %s:\n%s", s.addr, text)
	}
	if !s.over() {
		_ = s.cmd.Process.Kill() // it may have ended meanwhile
		<-s.ended
	}
	for _, p := range append(s.family, relatives(s.t, s.cmd.Process.Pid)...) {
		if p.alive() {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

func (s *stage) file(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// ready waits until all workers are, and notes who is there.
func (s *stage) ready() {
	s.t.Helper()
	eventually(s.t, "it is ready", func() bool {
		if s.over() {
			s.t.Fatalf("it ended instead, exit code %d", s.cmd.ProcessState.ExitCode())
		}
		_, ok := s.find(entry{Msg: "ready"})
		return ok
	})
	s.meet()
}

// meet notes who is there now.
func (s *stage) meet() {
	s.t.Helper()
	s.family = append(s.family, relatives(s.t, s.cmd.Process.Pid)...)
	for _, w := range s.workers("") {
		known := func(p process) bool { return p.pid == w.PID }
		if w.PID != 0 && !slices.ContainsFunc(s.family, known) {
			s.t.Errorf("status has %s, pid %d, which is no process of the supervisor's", w.Worker, w.PID)
		}
	}
}

// A worker is one line of `lastcall status`.
type worker struct {
	Worker, State   string
	PID, Life, Slot int
	Restarts        int
}

// workers asks for the workers of a program, or of all.
func (s *stage) workers(program string) []worker {
	s.t.Helper()
	var status struct {
		Programs []struct {
			Name    string
			Workers []worker
		}
	}
	s.ask(&status, "status", "--json")
	var out []worker
	for _, p := range status.Programs {
		if program == "" || p.Name == program {
			out = append(out, p.Workers...)
		}
	}
	return out
}

// ask runs a verb that prints JSON.
func (s *stage) ask(answer any, verb ...string) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.verb(verb...)), answer); err != nil {
		s.t.Fatalf("lastcall %s: %v", verb, err)
	}
}

// verb runs a verb that has to succeed.
func (s *stage) verb(verb ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, built.path(s.t, "lastcall"), append(verb, "--socket", "c.sock")...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Dir = s.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("lastcall %s: %v: %s%s", verb, err, out, &stderr)
	}
	return string(out)
}

// awaitWork waits until operations are in progress that begin so: "POST /stuck/".
// The state is one of lastcall inflight, "" for any, or for who does not tell.
func (s *stage) awaitWork(route, state string, want int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d of %s... are in progress", want, route), func() bool {
		var list []struct{ Name, Route, State string }
		s.ask(&list, "inflight", "--json")
		n := 0
		for _, op := range list {
			if strings.HasPrefix(op.Name+" "+op.Route, route) && (state == "" || op.State == "" || op.State == state) {
				n++
			}
		}
		return n == want
	})
}

func (s *stage) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("%v to the supervisor: %v", sig, err)
	}
}

func (s *stage) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// An answer is what a client got.
type answer struct {
	body string
	err  error
	at   time.Time
}

// send sends a request on a connection of its own.
func (s *stage) send(method, path string) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		conn := &load.Conn{Addr: s.addr, Timeout: 40 * time.Second}
		defer conn.Close()
		body, err := conn.Do(method, path)
		out <- answer{body, err, time.Now()}
	}()
	return out
}

// job posts the job of two seconds and waits until it has begun.
func (s *stage) job(name string) <-chan answer {
	s.t.Helper()
	a := s.send("POST", "/work/"+name+"?steps=10&step=0.2")
	s.awaitPart(name, 0)
	return a
}

func (s *stage) awaitPart(name string, i int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("part %d of %s is written", i, name), func() bool {
		_, err := os.Stat(s.file("siege_data", name+".part", fmt.Sprintf("part-%d", i)))
		return err == nil
	})
}

// done waits for the answer of a job and checks that all of it is there.
func (s *stage) done(name string, a <-chan answer) answer {
	s.t.Helper()
	got := <-a
	if got.err != nil || !strings.HasPrefix(got.body, "done "+name+" by ") {
		s.t.Errorf("the job %s was answered %q, %v", name, got.body, got.err)
	}
	if n := parts(s.t, s.dir, "siege_data", name); n != 10 {
		s.t.Errorf("the job %s has left %d parts, want 10", name, n)
	}
	return got
}

// db returns a client of the stage's redis.
func (s *stage) db() *redis.Client {
	db := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + s.redis})
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

// freeAddr returns a loopback address that is the test's until it ends.
func freeAddr(t *testing.T) string {
	t.Helper()
	port, release, err := testport.Hold(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// isFree tries whether the port can be bound. It does not listen: clients that
// try to connect all the time would find that, and be reset.
func isFree(addr string) error {
	to, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	// Without it connections that have ended are in the way; a listener is with
	// it too.
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	return syscall.Bind(fd, &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())})
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
