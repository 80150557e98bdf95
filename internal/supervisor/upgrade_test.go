package supervisor

import (
	"context"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
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
