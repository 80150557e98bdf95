package supervisor

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/control"
)

// An executable that vanishes when it is about to take over changes nothing:
// workers are watched as before, and a signal that came meanwhile is taken.
func TestUpgradeThatCannotExecute(t *testing.T) {
	s := run(t, Config{Name: "test", Programs: []Program{program("job", 2, "sleep")}})
	s.logged("msg=ready\n")
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would close what is forgotten
	before, files := s.workers(), openFiles(t)
	for range 3 {
		var u *upgrade
		s.call(context.Background(), func() {
			if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
				t.Error(err)
			}
			s.until("the signal is here", func() bool { return len(s.signals) > 0 })
			s.executable = "/nowhere/lastcall"
			u = s.wantUpgrade()
			s.replaceSelf()
		})
		<-u.refused
		if !errorSays(u.err, "execute /nowhere/lastcall: no such file") {
			t.Errorf("refused: %v", u.err)
		}
	}
	if n := strings.Count(s.log.String(), "nothing to restart: no program has listeners"); n != 3 {
		t.Errorf("%d of 3 signals were taken", n)
	}
	if w := s.workers()["job.0"]; w.PID != before["job.0"].PID || w.State != "ready" {
		t.Errorf("%+v before, %+v after", before["job.0"], w)
	}
	if err := syscall.Kill(before["job.1"].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until("the killed one is replaced", func() bool { w := s.workers()["job.1"]; return w.State == "ready" && w.Life == 3 })
	s.until("no more descriptors are open", func() bool { return openFiles(t) <= files })
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// At whatever moment of an upgrade there are no descriptors left: it is refused,
// and nothing else changes. A guard that took the supervisor for dead would stop
// the workers.
func TestUpgradeWithoutDescriptors(t *testing.T) {
	s := run(t, Config{Name: "test", Programs: []Program{program("job", 4, "sleep")}})
	s.logged("msg=ready\n")
	before := s.workers()
	reasons := make(map[string]bool)
	for room := range 16 {
		var u *upgrade
		s.call(context.Background(), func() {
			s.executable = "/nowhere/lastcall"
			u = s.wantUpgrade()
			restore := leaveRoom(t, room)
			s.replaceSelf()
			restore()
		})
		<-u.refused
		reasons[strings.Join(strings.Fields(u.err.Error())[:4], " ")] = true
		s.until("there is a guard", func() bool { return s.guardPID() != 0 })
	}
	for _, want := range []string{"upgrade: hand over guard:", "upgrade: hand over process", "upgrade: execute /nowhere/lastcall: no"} {
		if !reasons[want] {
			t.Errorf("refused with %v, never with %q", reasons, want)
		}
	}
	runtime.GC() // which closes what was forgotten: the link of a guard that lives would mean a stop
	runtime.GC()
	for name, w := range s.workers() {
		if w.PID != before[name].PID || w.State != "ready" {
			t.Errorf("%+v before, %+v after", before[name], w)
		}
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
	if strings.Contains(s.log.String(), "the guard has ended") {
		t.Error("a guard has stopped something")
	}
}

func (s *stage) guardPID() (pid int) {
	s.call(context.Background(), func() { pid = s.guard.PID() })
	return pid
}

// leaveRoom has this process open so many descriptors more and no others, until
// the function it returns is called.
func leaveRoom(t *testing.T, room int) (restore func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	for low.Cur = 0; ; low.Cur++ {
		if _, err := unix.FcntlInt(uintptr(low.Cur), unix.F_GETFD, 0); err == nil {
			continue
		}
		if room--; room < 0 {
			break
		}
	}
	set := func(l unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			t.Error(err)
		}
	}
	set(low)
	return func() { set(limit) }
}

// An upgrade that fails while there is no worker: they can be started then.
func TestUpgradeThatFailsWithoutWorkers(t *testing.T) {
	s := run(t, Config{Name: "test", Programs: []Program{program("job", 1, "sleep")}})
	s.logged("msg=ready\n")
	s.do(control.Request{Verb: "drain", Target: "job"}, control.Done)
	var u *upgrade
	s.call(context.Background(), func() {
		s.executable = "/nowhere/lastcall"
		u = s.wantUpgrade()
		s.replaceSelf()
	})
	<-u.refused
	if s.guardPID() == 0 {
		t.Error("there is no guard")
	}
	s.do(control.Request{Verb: "start", Target: "job"}, control.Done)
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// An upgrade that is given up for a stop while readers come to a halt holds none
// of them: each still brings what its life says, its end too.
func TestUpgradeGivenUp(t *testing.T) {
	for range 10 {
		s := run(t, Config{Name: "test", Programs: []Program{program("job", 8, "sleep")}})
		s.logged("msg=ready\n")
		var u *upgrade
		s.call(context.Background(), func() {
			u = s.wantUpgrade()
			s.signals <- syscall.SIGTERM
			s.replaceSelf()
		})
		<-u.refused
		if !errorSays(u.err, "told to stop") {
			t.Errorf("refused: %v", u.err)
		}
		if r := s.stop(); r.Code != 0 {
			t.Errorf("report %+v", r)
		}
	}
}
