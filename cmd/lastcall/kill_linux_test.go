package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
)

// gatedFile is a worker that takes its time to end, behind a gate that does not
// answer.
const gatedFile = `
[program.web]
command = ["sh", "-c", "trap 'echo asked >>journal; sleep 2; exit' TERM; while :; do sleep 0.1; done"]
min_uptime = "10ms"
gate = [{ exec = ["sh", "-c", "echo gate >>journal; exec sleep 600"], timeout = "10m" }]
`

// stopGated starts a gated worker, tells its supervisor to stop, kills that when
// the journal has the word, and waits until nothing is left.
func stopGated(t *testing.T, limits, word string) *house {
	h := found(t)
	h.configure(gatedFile + limits)
	h.start("--log-format", "json")
	h.logged(`"msg":"ready"}`)
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.until("the journal says "+word, func() bool { return strings.Contains(h.read("journal"), word) })
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
	return h
}

// The command of a gate does not outlive a supervisor that is killed, and the
// guard writes its log as the supervisor did.
func TestKillWhileAGateIsAsked(t *testing.T) {
	h := stopGated(t, `drain_timeout = "20s"`, "gate\n")
	for line := range strings.Lines(h.read("log")) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	h.logged(`"msg":"the guard has ended"`)
}

// A worker whose gate was found shut has its stop timeout to end, not once more
// its drain timeout, after its supervisor was killed too.
func TestKillAfterAShutGate(t *testing.T) {
	h := stopGated(t, "drain_timeout = \"300ms\"\nstop_timeout = \"30s\"", "asked\n")
	if log := h.read("log"); strings.Contains(log, "killed: did not end in time") {
		t.Error("it was killed before its time")
	}
}
