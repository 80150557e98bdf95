package guard

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
	"golang.org/x/sys/unix"
)

const (
	roleVariable   = "GUARD_TEST_ROLE"
	castVariable   = "GUARD_TEST_CAST"
	markerVariable = "GUARD_TEST_MARKER"
)

// limit is how long anything may take that is certain to happen.
const limit = 60 * time.Second

// The test binary plays the supervisors, whose guards it becomes too.
func TestMain(m *testing.M) {
	proc.Shim()
	var err error
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
		// What supervisors leave behind is ours to reap.
		if _, err = proc.NewChildren(); err == nil {
			os.Exit(m.Run())
		}
	case "supervisor":
		err = playSupervisor()
	case "breeder":
		err = playBreeder()
	case "ruler":
		err = playRuler()
	case "hoarder":
		err = playHoarder()
	default:
		err = fmt.Errorf("no role %s", role)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// A part is one life of a scene: a shell script and its rule.
type part struct {
	Rule
	Script  string
	Channel bool           // it has a channel, as descriptor 3
	Uses    bool           // and says so
	Told    *time.Duration // it was asked before the supervisor dies
	Closing *time.Duration // or it has its close signal
	Next    *time.Duration // or the first of its StopSteps, and the next comes then
	Busy    bool           // it has work in progress
}

// turn is how far it has come.
func (p part) turn() (t Turn) {
	if p.Told != nil {
		t.Kill = after(*p.Told)
	}
	if p.Closing != nil {
		t.Closing = after(*p.Closing)
	}
	if p.Next != nil {
		t.Sent, t.Next = 1, after(*p.Next)
	}
	return t
}

// playSupervisor starts its cast, says who they are, and obeys until it is
// killed.
func playSupervisor() error {
	var cast []part
	if err := json.Unmarshal([]byte(os.Getenv(castVariable)), &cast); err != nil {
		return err
	}
	c, err := proc.NewChildren()
	if err != nil {
		return err
	}
	os.Unsetenv(castVariable)
	os.Unsetenv(roleVariable)
	g := Start(c, os.Environ(), os.Getenv("LEFTOVERS"), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	said := []string{"ready"}
	var lives []*Life
	for _, p := range cast {
		pid, life, err := p.start(c, g)
		if err != nil {
			return err
		}
		lives = append(lives, life)
		said = append(said, strconv.Itoa(pid))
	}
	fmt.Println(strings.Join(said, " "))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "pid":
			fmt.Println(g.PID())
		case "flood": // more than a link holds
			for range 5000 {
				lives[0].Drains()
			}
		case "close":
			g.Close()
			fmt.Println("closed")
		}
	}
	select {}
}

func (p part) start(c *proc.Children, g *Guard) (pid int, life *Life, err error) {
	s := proc.Spec{
		Path: "/bin/sh", Args: []string{"sh", "-c", p.Script}, Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr,
	}
	var channel syscall.RawConn
	if p.Channel {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return 0, nil, err
		}
		defer unix.Close(fds[1])
		if err := unix.SetNonblock(fds[1], false); err != nil {
			return 0, nil, err
		}
		s.Files = []int{fds[1]}
		if channel, err = os.NewFile(uintptr(fds[0]), "channel").SyscallConn(); err != nil {
			return 0, nil, err
		}
	}
	s.Before = func(q *proc.Process) { life = g.Add(p.Rule, q, channel) }
	q, err := c.Start(s)
	if err != nil {
		return 0, nil, err
	}
	if p.Uses {
		life.Drains()
	}
	if p.Busy {
		life.Busy(true)
	}
	if t := p.turn(); t != (Turn{}) {
		life.Turned(t)
	}
	go func() {
		<-q.Gone()
		life.Forget()
	}()
	return q.Pid(), life, nil
}

// A scene is one supervisor, its guard, and its lives.
type scene struct {
	t         *testing.T
	cmd       *exec.Cmd
	in        io.Writer
	out       *bufio.Reader
	errs      string // the file of its stderr
	marker    string
	leftovers string // a directory that the guard is to remove; there is none
	journal   string // what the scripts write to $JOURNAL
	pids      []int
}

// play starts a supervisor in a role. Whatever comes of it, nothing is left
// when the test ends.
func play(t *testing.T, role string, cast ...part) *scene {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(cast)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &scene{t: t, errs: filepath.Join(dir, "stderr"), journal: filepath.Join(dir, "journal"), leftovers: filepath.Join(dir, "leftovers"), marker: markerVariable + "=" + dir}
	errs, err := os.Create(s.errs)
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	s.cmd = exec.Command(self)
	s.cmd.Env = append(os.Environ(), s.marker, roleVariable+"="+role, castVariable+"="+string(list), "JOURNAL="+s.journal, "LEFTOVERS="+s.leftovers)
	s.cmd.Stderr = errs
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		for _, pid := range s.left() {
			_ = unix.Kill(pid, syscall.SIGKILL)
		}
		_ = s.cmd.Wait() // it was killed, which is no news
		if t.Failed() {
			t.Logf("stderr:\n%s\njournal:\n%s", read(s.errs), read(s.journal))
		}
	})
	return s
}

// stage plays a supervisor and waits until its cast is on.
func stage(t *testing.T, cast ...part) *scene {
	t.Helper()
	s := play(t, "supervisor", cast...)
	words := strings.Fields(s.line())
	if len(words) != len(cast)+1 || words[0] != "ready" {
		t.Fatalf("the supervisor said %q", words)
	}
	for _, w := range words[1:] {
		pid, err := strconv.Atoi(w)
		if err != nil {
			t.Fatal(err)
		}
		s.pids = append(s.pids, pid)
	}
	for i, p := range cast {
		if strings.Contains(p.Script, "on "+strconv.Itoa(i)) {
			s.until("part "+strconv.Itoa(i)+" is on", func() bool { return strings.Contains(s.said(), "on "+strconv.Itoa(i)) })
		}
	}
	return s
}

func (s *scene) line() string {
	s.t.Helper()
	l, err := s.out.ReadString('\n')
	if err != nil {
		s.t.Fatalf("read the supervisor's stdout: %v", err)
	}
	return strings.TrimSpace(l)
}

// guard returns the guard's pid, 0 if there is none.
func (s *scene) guard() int {
	s.t.Helper()
	fmt.Fprintln(s.in, "pid")
	pid, err := strconv.Atoi(s.line())
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

func (s *scene) kill() { _ = s.cmd.Process.Kill() }

// said returns what the scripts have written.
func (s *scene) said() string { return read(s.journal) }

// deeds returns what the scripts have written since they came on, line by line.
func (s *scene) deeds() []string {
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(s.said()), "\n"), func(line string) bool { return strings.HasPrefix(line, "on ") })
}

// ended kills the supervisor, waits until nothing is left, and returns how long
// that took.
func (s *scene) ended() time.Duration {
	s.t.Helper()
	begin := time.Now()
	s.kill()
	s.until("nothing is left", func() bool { return len(s.left()) == 0 })
	return time.Since(begin)
}

// left returns who carries the scene's marker and is alive.
func (s *scene) left() []int {
	entries, _ := os.ReadDir("/proc")
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ") // empty of the dead
		for kv := range bytes.SplitSeq(env, []byte{0}) {
			if string(kv) == s.marker {
				out = append(out, pid)
			}
		}
	}
	return out
}

func (s *scene) until(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			s.t.Fatalf("not within %v: %s; left: %v", limit, what, s.left())
		}
	}
}

func read(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}

// rule is that of a program whose lives end by TERM.
func rule(program string, needs ...string) Rule {
	return Rule{
		Worker: program + ".0", Program: program, Needs: needs,
		StopSignal: syscall.SIGTERM, StopTimeout: time.Hour, KillAfter: time.Hour,
	}
}

// obeys is the script of part n: it notes its TERM, and its end after a while.
func obeys(n int, while string) string {
	return fmt.Sprintf(`trap 'kill $!; echo term %[1]d >>$JOURNAL; sleep %[2]s; echo end %[1]d >>$JOURNAL; exit' TERM
		echo on %[1]d >>$JOURNAL; sleep 600 & wait`, n, while)
}

// deaf is the script of part n that does not end by TERM.
func deaf(n int) string {
	return fmt.Sprintf(`trap '' TERM; echo on %d >>$JOURNAL; while :; do sleep 600; done`, n)
}

// notes is the script of part n that notes each signal, and ends by the last.
func notes(n int, signals ...string) string {
	var script strings.Builder
	for i, name := range signals {
		fmt.Fprintf(&script, "trap 'echo %s %d >>$JOURNAL", name, n)
		if i == len(signals)-1 {
			script.WriteString("; kill $!; exit")
		}
		fmt.Fprintf(&script, "' %s\n", name)
	}
	fmt.Fprintf(&script, "sleep 600 & echo on %d >>$JOURNAL; while :; do wait; done", n)
	return script.String()
}
