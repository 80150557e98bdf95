package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// refused runs a supervisor that must not start, nor bind anything before it
// finds out.
func refused(t *testing.T, pidFile string) string {
	t.Helper()
	l := web(t)
	s := run(t, Config{Name: "test", PIDFile: pidFile, Listeners: []Listener{l}, Programs: []Program{program("web", 1, "sleep")}})
	r := s.ended()
	if r.Code != exitNotUp || r.Err == nil {
		t.Fatalf("report %+v", r)
	}
	if strings.Contains(s.log.String(), "listening") {
		t.Error("it has bound its socket before it looked at the pid file")
	}
	return r.Err.Error()
}

func hold(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPIDFileOfTheLivingIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.pid")
	other := os.Getppid() // runs as long as this test does
	text := fmt.Sprintf("%d\n", other)
	hold(t, path, text)
	want := fmt.Sprintf("pid file %s names pid %d, which runs; stop it, or give this one another --pidfile", path, other)
	if got := refused(t, path); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != text {
		t.Errorf("the other's pid file: %q, %v", now, err)
	}
}

func TestPIDFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lastcall.toml")
	hold(t, path, "[program.web]\n")
	if got := refused(t, path); got != "pid file "+path+" holds something else than a pid; give another --pidfile" {
		t.Error(got)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != "[program.web]\n" {
		t.Errorf("%q, %v", now, err)
	}
	if got := refused(t, dir); got != "pid file "+dir+" is not a regular file; give another --pidfile" {
		t.Error(got)
	}
}

// dead returns the pid of a process that has ended and been reaped.
func dead(t *testing.T) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "play", "exit", "0")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid
}

func TestStalePIDFileIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.pid")
	stale := map[string]string{
		"a dead process": strconv.Itoa(dead(t)) + "\n", "ourselves": strconv.Itoa(os.Getpid()), "nothing": "",
	}
	// A thread of ours that is not the first: kill(2) would find it.
	threads, err := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		if err == nil && thread.Name() != strconv.Itoa(os.Getpid()) {
			stale["a thread of ours"] = thread.Name()
		}
	}
	for what, text := range stale {
		hold(t, path, text)
		remove, err := writePIDFile(path)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != strconv.Itoa(os.Getpid())+"\n" {
			t.Errorf("%s: %q, %v", what, now, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
			t.Errorf("%s: %v, %v", what, info, err)
		}
		remove()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: it leaves %v, %v", what, left, err)
		}
	}
}

func TestPIDFileOfASuccessorIsNotRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.pid")
	remove, err := writePIDFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, path, "1\n")
	remove()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// What cannot be written is named as the operator named it.
func TestPIDFileThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	absent := filepath.Join(dir, "absent", "app.pid")
	if _, err := writePIDFile(absent); err == nil || !strings.HasPrefix(err.Error(), "write pid file "+absent+": no such file or directory; make its directory, ") {
		t.Error(err)
	}
	// The part can be written here, and then not be renamed.
	target := filepath.Join(dir, "target")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(target, []byte("1\n")); err == nil {
		t.Error("a directory was replaced")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("a failed write leaves %v, %v", left, err)
	}
}
