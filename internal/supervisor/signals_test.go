package supervisor

import (
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/proc"
)

// Nobody waits for the verdict of a signal: the log says it.
func TestHangupThatRestartsNothingIsLogged(t *testing.T) {
	s := run(t, Config{Name: "test", Programs: []Program{program("job", 1, "sleep")}})
	s.logged("msg=ready\n")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.logged("nothing to restart: no program has listeners")
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestHangupDuringAStopIsLogged(t *testing.T) {
	p := program("web", 1, "deaf")
	p.Listen = []string{"web"}
	s := run(t, Config{Name: "test", Listeners: []Listener{web(t)}, Programs: []Program{p}})
	s.logged("msg=ready\n")
	pid := s.workers()["web.0"].PID
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		s.logged("msg=signal name=" + unix.SignalName(sig))
	}
	s.logged("nothing to restart: it is stopping")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	s.ended()
}

// The reason is in the log, whether the shell finds it or the core.
func TestScalingByASignalThatIsRefusedIsLogged(t *testing.T) {
	web := func(name string) Program {
		p := program(name, 1, "sleep")
		p.MinUptime = time.Millisecond
		return p
	}
	for _, test := range []struct {
		programs []Program
		sig      syscall.Signal
		want     string
	}{
		{[]Program{web("a"), web("b")}, syscall.SIGTTIN, "which program to scale cannot be told"},
		{[]Program{web("a")}, syscall.SIGTTOU, `msg="not done" reason="scale needs a program and at least 1 worker"`},
		{[]Program{web("a")}, syscall.SIGWINCH, "nothing to drain: no program has listeners"},
	} {
		t.Run(test.sig.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := runFake(t, test.programs...)
				b.after(time.Second)
				b.signal(test.sig)
				if b.count(test.want) != 1 {
					t.Errorf("the log does not say %q once", test.want)
				}
				b.signal(syscall.SIGTERM)
				for i := range test.programs {
					b.ends(i, proc.Exit{})
				}
				b.returned(exitDone)
			})
		})
	}
}
