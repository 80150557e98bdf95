package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	stormFor  = flag.Duration("storm", 3*time.Second, "how long TestStorm rages")
	stormSeed = flag.Uint64("stormseed", 0, "what it draws its choices from; 0: the clock")
)

// A storm kills, stops and signals whatever it finds of a supervisor, while
// operators and clients go on with what they do. Its choices come from a seed;
// when they meet the supervisor does not, so a seed that fails is to be tried
// more than once.
type storm struct {
	*house
	random *rand.Rand
	client *clients
	lull   time.Time     // when it is to end
	ended  chan struct{} // closed when the supervisor has ended
	verbs  sync.WaitGroup

	mu      sync.Mutex
	journal []string // what it did in this era

	guard  int     // whom the storm killed last; 0: nobody in this era
	guards int     // how many
	fatal  bool    // the supervisor was killed
	told   bool    // it was told to end
	waking resumes // of the stopped
	files  figures // of the supervisor, in this era
}

// stormFile is a configuration of workers of all kinds: on the package, foreign
// with a socket, foreign with descendants; and a helper. A crash is the rule
// here, so nothing gives up.
const stormFile = `
[listen]
web = %q
plain = %q
[program.helper]
command = ["sh", "-c", "trap 'kill $!; exit' TERM; sleep 600 & wait"]
min_uptime = "10ms"
drain_timeout = "2s"
%[5]s
[program.web]
command = [%[3]q]
workers = 2
listen = ["web"]
depends_on = ["helper"]
drain_timeout = "2s"
%[5]s
[program.plain]
command = [%[4]q]
listen = ["plain"]
drain_timeout = "1s"
%[5]s
[program.shell]
command = ["sh", "-c", "(sleep 600 & wait) & trap 'sleep 0.05; exit' TERM; sleep 600 & wait"]
min_uptime = "10ms"
depends_on = ["helper"]
drain_timeout = "1s"
%[5]s
[program.python]
command = ["python3", "-c", "import signal, subprocess; subprocess.Popen(['sleep', '600']); print('up', flush=True); signal.pause()"]
min_uptime = "10ms"
drain_timeout = "1s"
%[5]s
`

const stormKeys = `
stop_timeout = "1s"
max_restarts = 1000
restart_window = "2s"
`

// TestStorm lets no end of a supervisor leave anything, whatever else dies at
// the same time. make storm lets it rage for long.
func TestStorm(t *testing.T) {
	seed := *stormSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: go test ./cmd/lastcall -run '^TestStorm$' -storm %v -stormseed %d", seed, *stormFor, seed)
	h := found(t)
	plain := freeAddress(t)
	h.configure(fmt.Sprintf(stormFile, h.addr, plain, h.path("brisk"), h.path("server"), stormKeys))
	s := &storm{house: h, random: rand.New(rand.NewPCG(seed, 0)), client: load(h.addr, plain)}
	defer s.client.stop(t)
	eras := 0
	for s.lull = time.Now().Add(*stormFor); time.Now().Before(s.lull) && !t.Failed(); eras++ {
		s.era()
	}
	t.Logf("%d supervisors; %s", eras, s.client)
}

// era is the life of one supervisor, from its start to after its end.
func (s *storm) era() {
	s.journal, s.guard, s.guards, s.fatal, s.told, s.files = nil, 0, 0, false, false, figures{}
	s.start()
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in its state
		close(ended)
	}(s.cmd, s.ended)
	defer func() { s.t.Log("what the storm did:\n" + strings.Join(s.journal, "\n")) }()
	s.note("started, pid %d", s.cmd.Process.Pid)
	acts := 0
	if s.random.IntN(4) > 0 { // every fourth is hit while it starts
		acts = 5 + s.random.IntN(25)
		s.ready()
	}
	for i := 0; i < acts && !s.over() && time.Now().Before(s.lull); i++ {
		s.act()
		s.pause(150)
		if i%10 == 9 {
			s.calm()
		}
	}
	s.end()
	s.after()
}

func (s *storm) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = append(s.journal, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// pause lets some milliseconds pass: what the storm plays with is when it acts.
func (s *storm) pause(most int) {
	<-time.After(time.Duration(s.random.IntN(most*1000)) * time.Microsecond)
}

func (s *storm) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// ready waits until the supervisor serves, or has ended.
func (s *storm) ready() {
	s.t.Helper()
	s.until("it is ready or has ended", func() bool { return s.over() || strings.Contains(s.read("log"), "msg=ready\n") })
}

// act does one thing to the supervisor or to what it runs.
func (s *storm) act() {
	switch n := s.random.IntN(20); {
	case n < 5:
		s.hit(syscall.SIGKILL)
	case n < 7:
		s.hit(syscall.SIGTERM)
	case n < 9:
		s.hit(syscall.SIGSTOP)
	case n < 10:
		s.signal(s.cmd.Process.Pid, syscall.SIGSTOP)
	case n < 12:
		s.hitGuard()
	case n < 14:
		all := []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTTIN, syscall.SIGTTOU}
		s.signal(s.cmd.Process.Pid, all[s.random.IntN(len(all))])
	default:
		all := []string{
			"restart", "restart", "reload", "upgrade", "upgrade", "restart shell", "restart helper --hard", "restart web.0",
			"scale web=3", "scale web=1", "scale web=2", "scale shell=2", "drain plain", "drain web.1", "start", "rollback", "inflight", "signal CONT web",
		}
		s.verb(all[s.random.IntN(len(all))])
	}
}

// verb has an operator give a command, and does not wait for the verdict.
func (s *storm) verb(line string) {
	s.note("lastcall %s", line)
	s.verbs.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, s.path("lastcall"), strings.Fields(line)...)
		cmd.Dir = s.dir
		cmd.Env = append(os.Environ(), "LASTCALL_SOCKET="+s.path("s"), "GORACE=atexit_sleep_ms=0")
		out, err := cmd.CombinedOutput()
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
		s.note("lastcall %s ended with %d: %s", line, code, strings.TrimSpace(string(out)))
		switch code {
		case 0, 1, 3, 4, 5, 6, 7:
		default:
			s.t.Errorf("lastcall %s: exit code %d: %v\n%s", line, code, err, out)
		}
	})
}

// hit sends a signal to one of all that the supervisor has started, its guard
// excepted.
func (s *storm) hit(sig syscall.Signal) {
	var others []int
	for _, pid := range s.left() {
		if pid != s.cmd.Process.Pid && !isGuard(pid) {
			others = append(others, pid)
		}
	}
	if len(others) > 0 {
		s.signal(others[s.random.IntN(len(others))], sig)
	}
}

// hitGuard is rare: the more often a guard dies young, the later comes the
// next.
func (s *storm) hitGuard() {
	if s.guards == 2 || !s.guarded() {
		return
	}
	for _, pid := range s.left() {
		if isGuard(pid) {
			sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM}[s.random.IntN(3)]
			s.signal(pid, sig)
			if sig == syscall.SIGKILL {
				s.guard, s.guards = pid, s.guards+1
			}
			return
		}
	}
}

// signal sends a signal to a process that carries the marker, and to nobody
// else. Who is stopped goes on after a while.
func (s *storm) signal(pid int, sig syscall.Signal) {
	if s.over() && pid == s.cmd.Process.Pid {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if pid != s.cmd.Process.Pid && !s.marked(fmt.Sprint(pid)) { // the supervisor is not, until its exec
		return // another one by now
	}
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	s.note("%v to %d, %s", sig, pid, strings.TrimSpace(string(name)))
	if unix.PidfdSendSignal(fd, sig, nil, 0) == nil && sig == syscall.SIGSTOP {
		s.waking.add(time.Duration(s.random.IntN(1200))*time.Millisecond, fd)
	}
}

// end ends the supervisor in one of many ways, if it has not ended by itself.
func (s *storm) end() {
	pid := s.cmd.Process.Pid
	tell := func() {
		s.told = true
		s.signal(pid, []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}[s.random.IntN(3)])
	}
	kill := func() {
		s.until("there is a guard", s.guarded)
		s.fatal = true
		s.signal(pid, syscall.SIGKILL)
	}
	switch s.random.IntN(7) {
	case 0:
		s.told = true
		s.ready()
		s.until("it obeys", func() bool { // which no order does that meets an upgrade
			s.verb("stop")
			s.verbs.Wait()
			return s.over()
		})
	case 1, 2:
		tell()
	case 3: // and a worker or two die meanwhile
		tell()
		s.pause(100)
		s.hit(syscall.SIGKILL)
		s.hit(syscall.SIGSTOP)
	case 4: // and so does the supervisor itself
		tell()
		s.pause(300)
		kill()
	case 5: // while its guard does not listen
		s.until("there is a guard", s.guarded)
		s.hitGuardWith(syscall.SIGSTOP)
		kill()
	default:
		s.pause(300)
		kill()
	}
}

func (s *storm) hitGuardWith(sig syscall.Signal) {
	for _, pid := range s.left() {
		if isGuard(pid) {
			s.signal(pid, sig)
		}
	}
}

// guarded tells whether there is a guard, since the storm has killed one last:
// who kills that and the supervisor at once leaves the foreign on their own.
func (s *storm) guarded() bool {
	if s.guard == 0 || s.over() {
		return true
	}
	for _, pid := range s.left() {
		if pid != s.guard && isGuard(pid) {
			s.guard = 0
			return true
		}
	}
	return false
}

func isGuard(pid int) bool {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return string(name) == "lastcall-guard\n"
}
