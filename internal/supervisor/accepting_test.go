package supervisor

import (
	"os"
	"testing"
	"time"
)

// TestNotReadyBeforeItAccepts: a server that stays up is not ready while it can
// be seen not to accept; and what a wrapper has started is seen.
func TestNotReadyBeforeItAccepts(t *testing.T) {
	l := web(t)
	file := t.TempDir() + "/go"
	p := program("web", 1, "late", file)
	p.Command = append([]string{"/bin/sh", "-c", `"$@"; exit $?`, "sh"}, p.Command...)
	p.Path = "/bin/sh"
	p.Listen, p.MinUptime = []string{"web"}, 50*time.Millisecond
	s := run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}})
	s.logged("msg=started")
	w := s.workers()["web.0"]
	s.until("it has been up for long", func() bool { w = s.workers()["web.0"]; return w.Uptime > 0.5 })
	if w.State != "starting" || w.Accepting == "yes" {
		t.Errorf("before it accepts: %+v", w)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.logged("msg=ready\n")
	if w := s.workers()["web.0"]; w.Accepting != "yes" {
		t.Errorf("when it accepts: %+v", w)
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}
