package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/control"
)

// marked tells whether a living process carries the marker.
func (h *house) marked(pid string) bool {
	env, _ := os.ReadFile("/proc/" + pid + "/environ") // empty of the dead
	return slices.ContainsFunc(bytes.Split(env, []byte{0}), func(kv []byte) bool { return string(kv) == h.marker })
}

// calm waits until everything is as it is wanted again, which it comes to by
// itself, and looks at what the supervisor holds.
func (s *storm) calm() {
	s.t.Helper()
	s.waking.wait()
	s.verbs.Wait()
	s.verb("start") // what was drained
	s.verbs.Wait()
	lives := 0
	s.until("all is well again, or ended", func() bool {
		var well bool
		lives, well = s.well()
		return well || s.over()
	})
	if s.over() {
		return
	}
	now := measure(s.cmd.Process.Pid, lives)
	s.note("calm: %+v", now)
	if s.files == (figures{}) {
		s.files = now
		return
	}
	// Some generations are kept, for the way back.
	if now.spare > s.files.spare+12 || now.threads > s.files.threads+24 {
		s.t.Errorf("the supervisor grows: %+v, and now %+v", s.files, now)
	}
}

// well tells whether every slot has one life, and that is ready; and how many
// there are.
func (s *storm) well() (lives int, well bool) {
	cmd := exec.Command(s.path("lastcall"), "status", "--json")
	cmd.Env = append(os.Environ(), "LASTCALL_SOCKET="+s.path("s"), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.Output()
	var st control.Status
	if err != nil || json.Unmarshal(out, &st) != nil || st.State != "running" {
		return 0, false
	}
	for _, p := range st.Programs {
		for _, w := range p.Workers {
			lives++
			well = w.State == "ready"
			if !well {
				return lives, false
			}
		}
		if len(p.Workers) != p.Wanted {
			return lives, false
		}
	}
	return lives, well
}

// figures are what a supervisor holds.
type figures struct{ files, spare, threads int }

// measure counts. A life has a channel, a notify socket, two pipes and a pidfd;
// spare is what is open beyond those.
func measure(pid, lives int) figures {
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return figures{len(fds), len(fds) - 5*lives, len(tasks)}
}

// after checks what every end of a supervisor has to be.
func (s *storm) after() {
	s.t.Helper()
	began := time.Now()
	s.until("the supervisor has ended", s.over)
	s.until("nothing is left", func() bool { return len(s.left()) == 0 })
	took := time.Since(began)
	s.free()
	s.verbs.Wait()
	s.waking.wait()
	s.note("nothing is left, after %v", took)
	s.checkEnd(s.cmd.ProcessState)
	log := s.read("log")
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "goroutine 1 ["} {
		if strings.Contains(log, bad) {
			s.t.Errorf("the log has %q", bad)
		}
	}
}

// checkEnd checks the exit code: of the documented ones, unless the supervisor
// was killed, or ended before it could know of signals.
func (s *storm) checkEnd(state *os.ProcessState) {
	s.t.Helper()
	status := state.Sys().(syscall.WaitStatus)
	s.note("the supervisor ended: %v", state)
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL && s.fatal:
	case s.told && !strings.Contains(s.read("log"), "supervisor started"):
	case status.Signaled() && s.told && strings.Contains(s.read("log"), "the guard has ended"): // in the midst of an upgrade
	case s.told && status.ExitStatus() == 2 && strings.Contains(s.read("log"), "the guard has ended"): // by QUIT
	case status.Signaled():
		s.t.Errorf("the supervisor ended by %v", status.Signal())
	case !slices.Contains([]int{0, 3, 4, 5, 6}, status.ExitStatus()):
		s.t.Errorf("exit code %d", status.ExitStatus())
	case !s.told && status.ExitStatus() == 0:
		s.t.Error("it ended without having been told")
	}
}

// resumes continue, when their time has come, who was stopped.
type resumes struct{ running sync.WaitGroup }

func (r *resumes) add(after time.Duration, fd int) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		panic(err)
	}
	r.running.Go(func() {
		<-time.After(after)
		_ = unix.PidfdSendSignal(own, syscall.SIGCONT, nil, 0) // it may have been killed
		unix.Close(own)
	})
}

func (r *resumes) wait() { r.running.Wait() }

// clients send requests all the time, some on connections they keep. What dies
// under them they may lose; they may not wait for ever.
type clients struct {
	quit                 chan struct{}
	running              sync.WaitGroup
	answered, lost, hung atomic.Int64
}

// patience is longer than everything that may hold a request up: the stopped
// go on within seconds.
const patience = 40 * time.Second

func load(addrs ...string) *clients {
	c := &clients{quit: make(chan struct{})}
	for _, addr := range addrs {
		for _, keep := range []bool{true, false} {
			c.running.Go(func() { c.send(addr, keep) })
		}
	}
	return c
}

func (c *clients) send(addr string, keep bool) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: !keep}, Timeout: patience}
	defer client.CloseIdleConnections()
	pace := time.NewTicker(3 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
		case <-c.quit:
			return
		}
		r, err := client.Get("http://" + addr)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		timeout, is := errors.AsType[net.Error](err)
		switch {
		case err == nil:
			c.answered.Add(1)
		case is && timeout.Timeout():
			c.hung.Add(1)
		default:
			c.lost.Add(1)
		}
	}
}

func (c *clients) stop(t *testing.T) {
	close(c.quit)
	c.running.Wait()
	if n := c.hung.Load(); n > 0 {
		t.Errorf("%d requests were neither answered nor refused within %v", n, patience)
	}
	if c.answered.Load() == 0 {
		t.Error("no request was answered at all")
	}
}

func (c *clients) String() string {
	return fmt.Sprintf("%d requests answered, %d lost", c.answered.Load(), c.lost.Load())
}
