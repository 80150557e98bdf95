package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// impatient is a configuration that cuts what a stop finds in progress.
func impatient(h *house) {
	h.t.Helper()
	h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nlisten = [\"web\"]\ndrain_timeout = \"100ms\"\n", h.addr, h.path("worker")))
}

// cuts has the operator stop lastcall by itself, and wants to be told that work was cut.
func (h *house) cuts() {
	h.t.Helper()
	cmd := h.command("stop")
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 5 {
		h.t.Errorf("stop: %v, want exit code 5: %s", err, out)
	}
}

// TestStopThatCutsIsAStop: a stop that was wanted is not undone by those who run
// lastcall by the files of packaging/, whatever it has cut.
func TestStopThatCutsIsAStop(t *testing.T) {
	t.Run("systemd", func(t *testing.T) {
		h := found(t)
		m := managed(h)
		impatient(h)
		m.unit("lastcall.service")
		m.do("start", "lastcall.service")
		answer := h.post()
		h.cuts()
		<-answer
		var state string
		h.until("systemd has seen its end", func() bool {
			state = m.do("show", "-P", "ActiveState", "lastcall.service")
			return state != "active" && state != "deactivating"
		})
		if state != "failed" {
			t.Errorf("it is %s: want it to be seen, and not to be started again", state)
		}
	})
	t.Run("supervisord", func(t *testing.T) {
		h, tool, done := under(t, "supervisord", func(h *house) []string {
			impatient(h)
			return supervised(h)
		})
		status := func() string {
			out, _ := tool("supervisorctl", "-c", h.path("supervisord.conf"), "status", "lastcall").Output() // its code tells of the state, too
			return string(out)
		}
		h.until("supervisord takes it for running", func() bool { return strings.Contains(status(), "RUNNING") })
		h.cuts()
		<-done
		h.until("supervisord has seen its end", func() bool { return !strings.Contains(status(), "RUNNING") })
		if got := status(); !strings.Contains(got, "EXITED") {
			t.Errorf("it is %s: want it not to be started again", got)
		}
		h.endsParent(syscall.SIGTERM)
	})
}
