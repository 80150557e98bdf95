package supervisor

import (
	"os"
	"syscall"
	"testing"
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
		s.logged("msg=signal name=" + sig.String())
	}
	s.logged("nothing to restart: it is stopping")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	s.ended()
}
