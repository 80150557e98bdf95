package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onTerminal runs the command on a terminal of its own, with its output in a
// file. hangUp closes the terminal, log returns the output so far.
func onTerminal(t *testing.T, args ...string) (cmd *exec.Cmd, hangUp func(), log func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	path := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Its name makes the test binary the command. The shell passes it on.
	if err := os.Symlink(self, filepath.Join(filepath.Dir(path), "lastcall")); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(args[0], args[1:]...)
	cmd.Dir = filepath.Dir(path)
	cmd.Env = append(os.Environ(), "LASTCALL_SOCKET="+filepath.Join(cmd.Dir, "s"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, func() { master.Close() }, func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
}

// eventually polls until a log says something.
func eventually(t *testing.T, log func() string, text string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !strings.Contains(log(), text) {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("waited 30 s for %q in\n%s", text, log())
		}
	}
}

// drains waits for the command to end with 0, and ends it if it does not.
func drains(t *testing.T, cmd *exec.Cmd, log func() string) {
	t.Helper()
	impatience := time.AfterFunc(30*time.Second, func() { cmd.Process.Signal(syscall.SIGTERM) })
	err := cmd.Wait()
	if !impatience.Stop() || err != nil {
		t.Errorf("it did not end by itself, or with %v:\n%s", err, log())
	}
}

// A user who closes the terminal is gone, wherever the output goes.
func TestClosedTerminalStops(t *testing.T) {
	// The tests themselves may run under nohup.
	cmd, hangUp, log := onTerminal(t, "env", "--default-signal=HUP", "./lastcall", "run", "--listen", "127.0.0.1:0", "--", "sleep", "1000")
	eventually(t, log, "msg=\"supervisor started\"")
	hangUp()
	drains(t, cmd, log)
}

// Under nohup he is meant to be.
func TestClosedTerminalUnderNohup(t *testing.T) {
	cmd, hangUp, log := onTerminal(t, "sh", "-c", "trap '' HUP; exec ./lastcall run -- sleep 1000")
	eventually(t, log, "msg=\"supervisor started\"")
	hangUp()
	eventually(t, log, "nothing to restart: no program has listeners")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	drains(t, cmd, log)
}
