package main

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A supervisor that crashes, as by memory that is broken, says so by its exit
// code, and is a stop like another: the request in progress is answered, and
// the helper ends last.
func TestCrashOfTheSupervisor(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGSEGV, syscall.SIGABRT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			h := build(t)
			h.logged("msg=ready\n")
			answer := h.post()
			h.send(sig)
			_ = h.cmd.Wait()
			if got := h.cmd.ProcessState; got.ExitCode() != 2 {
				t.Errorf("it ended with %v, want exit code 2", got)
			}
			h.finish()
			h.whole(answer)
			h.until("nothing is left", func() bool { return len(h.left()) == 0 })
			if got, want := h.read("journal"), "up\nbegun\nanswered\ndown\n"; got != want {
				t.Errorf("journal %q, want %q", got, want)
			}
			h.free()
		})
	}
}

// An executable whose addresses are settled by its start (-buildmode=pie), as
// some distributions build all of theirs, does not lose those when it gives its
// memory back: neither the supervisor, nor its guard, which is at work last.
func TestPositionIndependentExecutable(t *testing.T) {
	t.Parallel()
	pie := t.TempDir() + "/lastcall"
	if out, err := exec.Command("go", "build", "-buildmode=pie", "-o", pie, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	file, err := elf.Open(pie)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if file.Type != elf.ET_DYN {
		t.Fatalf("it is of type %v", file.Type)
	}
	raise := func(t *testing.T) *house {
		h := found(t)
		if err := os.Remove(h.path("lastcall")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(pie, h.path("lastcall")); err != nil {
			t.Fatal(err)
		}
		h.configure(fmt.Sprintf(upgradeFile, h.addr, h.path("brisk")))
		h.start()
		h.logged("msg=ready\n")
		h.until("it has given memory back", func() bool { return fromFiles(t, h.cmd.Process.Pid) < 8000 })
		return h
	}
	t.Run("stop", func(t *testing.T) {
		h := raise(t)
		guard := h.status().Guard
		if out, err := h.command("restart").CombinedOutput(); err != nil {
			t.Errorf("restart: %v: %s", err, out)
		}
		if out, err := h.command("scale", "web=3").CombinedOutput(); err != nil {
			t.Errorf("scale: %v: %s", err, out)
		}
		if got := h.status().Guard; guard == 0 || got != guard {
			t.Errorf("the guard was process %d and is %d", guard, got)
		}
		h.upgradeBySignal()
		h.stops(0)
		if log := h.read("log"); strings.Contains(log, "guard") {
			t.Error("there is something about the guard")
		}
	})
	t.Run("kill", func(t *testing.T) {
		h := raise(t)
		h.send(syscall.SIGKILL)
		h.until("nothing is left", func() bool { return len(h.left()) == 0 })
		for _, want := range []string{`msg="asked to drain" worker=web.0`, `msg="asked to drain" worker=web.1`, "the guard has ended"} {
			if !strings.Contains(h.read("log"), want) {
				t.Errorf("it does not log %s", want)
			}
		}
	})
}

// fromFiles returns how many KiB a process has resident that come from files.
func fromFiles(t *testing.T, pid int) (n int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "RssFile: %d kB", &n); err == nil {
			return n
		}
	}
	t.Fatalf("process %d does not say what it has resident", pid)
	return 0
}
