package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// places points every directory for sockets into the test's own.
func places(t *testing.T) (xdg, tmp string) {
	t.Helper()
	xdg, tmp = t.TempDir(), t.TempDir()
	t.Setenv("RUNTIME_DIRECTORY", "")
	t.Setenv(EnvSocket, "")
	t.Setenv("XDG_RUNTIME_DIR", xdg)
	t.Setenv("TMPDIR", tmp)
	return xdg, tmp
}

func TestDefaultPath(t *testing.T) {
	xdg, tmp := places(t)
	dir := t.TempDir()
	path := DefaultPath("siege", dir)
	if want := filepath.Join(xdg, "lastcall", "siege-"+digest(dir)+".sock"); path != want {
		t.Errorf("path %s, want %s", path, want)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if got := DefaultPath("siege", link); got != path {
		t.Errorf("by a symbolic link %s, want %s", got, path)
	}
	if got := DefaultPath("siege", t.TempDir()); got == path {
		t.Error("two directories have the same path")
	}
	t.Setenv("XDG_RUNTIME_DIR", "/proc/self/absent")
	want := filepath.Join(tmp, fmt.Sprintf("lastcall-%d", os.Geteuid()), "siege-"+digest(dir)+".sock")
	if got := DefaultPath("siege", dir); got != want {
		t.Errorf("without XDG_RUNTIME_DIR %s, want %s", got, want)
	}
	t.Setenv("RUNTIME_DIRECTORY", "/run/one:/run/two")
	if got := DefaultPath("siege", dir); filepath.Dir(got) != "/run/one" {
		t.Errorf("with RUNTIME_DIRECTORY %s", got)
	}
	for name, want := range map[string]string{"": "lastcall", "a/../b": "a____b", "é": "_", strings.Repeat("n", 99): strings.Repeat("n", nameLength)} {
		base, _, _ := strings.Cut(filepath.Base(DefaultPath(name, dir)), "-"+digest(dir))
		if base != want {
			t.Errorf("name %q became %q, want %q", name, base, want)
		}
	}
}

func TestPrivateDirectory(t *testing.T) {
	xdg, _ := places(t)
	path := DefaultPath("a", ".")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := filepath.Join(xdg, "lastcall")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if found, err := Find("."); !errors.Is(err, ErrNotRunning) {
		t.Errorf("found %q in a directory that is open to others, %v", found, err)
	}
	if s, err := Listen(path); err == nil {
		s.Close()
		t.Error("a directory that is open to others was taken")
	} else if !strings.Contains(err.Error(), "is open to others (mode 0755); chmod 700 "+dir) {
		t.Errorf("error %v", err)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if s, err := Listen(path); err == nil {
		s.Close()
		t.Error("another user's directory was taken")
	} else if !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("error %v", err)
	}
}

func TestFind(t *testing.T) {
	_, tmp := places(t)
	here, there, elsewhere := t.TempDir(), t.TempDir(), t.TempDir()
	listen := func(path string) *Server {
		t.Helper()
		s, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	finds := func(dir, want string) {
		t.Helper()
		if got, err := Find(dir); err != nil || got != want {
			t.Errorf("found %q, %v, want %s", got, err, want)
		}
	}
	if _, err := Find(here); !errors.Is(err, ErrNotRunning) {
		t.Errorf("with none: %v, want ErrNotRunning", err)
	}
	one := DefaultPath("one", there)
	listen(one)
	finds(here, one) // the only one that answers

	// Started without XDG_RUNTIME_DIR, as from cron.
	two := filepath.Join(tmp, fmt.Sprintf("lastcall-%d", os.Geteuid()), filepath.Base(DefaultPath("two", here)))
	s := listen(two)
	finds(here, two)
	finds(there, one)

	_, err := Find(elsewhere)
	if err == nil || errors.Is(err, ErrNotRunning) || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "2 are running: "+one) || !strings.Contains(err.Error(), two) || !strings.HasSuffix(err.Error(), "--socket PATH") {
		t.Errorf("with several: %v", err)
	}
	listen(DefaultPath("three", here))
	if _, err = Find(here); err == nil || !strings.Contains(err.Error(), "2 are running in "+here) {
		t.Errorf("with several here: %v", err)
	}

	// One that was killed leaves its socket, which is passed over and left.
	s.listener.Close()
	finds(here, DefaultPath("three", here))
	if _, err := os.Lstat(two); err != nil {
		t.Errorf("the stale socket: %v", err)
	}
	t.Setenv(EnvSocket, "/given")
	finds(here, "/given")
}

// A directory for sockets may hold the application's own too.
func TestFindDialsNoOthers(t *testing.T) {
	places(t)
	run := t.TempDir()
	t.Setenv("RUNTIME_DIRECTORY", run)
	s, err := Listen(filepath.Join(run, "app.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if path, err := Find(run); !errors.Is(err, ErrNotRunning) {
		t.Errorf("found %q, %v", path, err)
	}
}
