package supervisor

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lastcall/lastcall/internal/pool"
)

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("%s is %v, want %v", path, info.Mode(), want)
	}
}

// A notify socket has a path that other users' workers can reach and nobody can
// list, also again when somebody has cleaned up, and takes it along at its end.
func TestNotifySocket(t *testing.T) {
	dir := filepath.Join(shortDir(t), "n")
	var paths []string
	for range 2 {
		s, path, err := openNotify(pool.ID{Program: "web"}, dir)
		if err != nil {
			t.Fatal(err)
		}
		wantMode(t, dir, os.ModeDir|0o711)
		wantMode(t, path, os.ModeSocket|0o666)
		c, err := net.Dial("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("READY=1")); err != nil {
			t.Error(err)
		}
		c.Close()
		if got, from, err := s.Receive(); err != nil || string(got) != "READY=1" || from != (sender{os.Geteuid(), os.Getpid()}) {
			t.Errorf("received %q of %+v, %v", got, from, err)
		}
		if len(paths) == 0 {
			if err := os.RemoveAll(dir); err != nil { // as one who cleans up
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("closed, the socket: %v", err)
		}
		paths = append(paths, path)
	}
	if filepath.Base(paths[0]) == filepath.Base(paths[1]) {
		t.Errorf("two lives have %s", paths[0])
	}
}

// What is not the supervisor's own directory is not used.
func TestNotifyDirOfOthers(t *testing.T) {
	in := shortDir(t)
	open, link := filepath.Join(in, "open"), filepath.Join(in, "link")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(in, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{open, link} {
		if s, path, err := openNotify(pool.ID{Program: "web"}, dir); err == nil || !strings.Contains(err.Error(), "is not the directory that was made") {
			t.Errorf("%s: %v, %v", path, s, err)
		}
	}
}

func TestNotifyDirChoice(t *testing.T) {
	runtime, temp, long := shortDir(t), shortDir(t), filepath.Join(shortDir(t), strings.Repeat("x", 80))
	if err := os.Mkdir(long, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ runtime, temp, in, err string }{
		{runtime, temp, runtime, ""},
		{runtime + ":" + long, temp, runtime, ""},
		{"", temp, temp, ""},
		{long, temp, temp, ""},
		{"relative", temp, temp, ""},
		{"", temp + "/none", "", "write to " + temp + "/none: no such file"},
		{temp + "/none", long, "", "too long for a socket's path"},
	} {
		t.Setenv("RUNTIME_DIRECTORY", test.runtime)
		t.Setenv("TMPDIR", test.temp)
		dir, err := notifyDir()
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%+v: %q, %v", test, dir, err)
			}
			continue
		}
		if err != nil || filepath.Dir(dir) != test.in {
			t.Errorf("%+v: %q, %v", test, dir, err)
		}
		if _, err := os.Lstat(dir); !os.IsNotExist(err) {
			t.Errorf("it was made: %v", err)
		}
	}
}

// A worker of another user could not come to a directory that only root may
// search.
func TestNotifyDirOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has workers of other users")
	}
	closed := shortDir(t)
	inner := filepath.Join(closed, "tmp")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RUNTIME_DIRECTORY", "")
	t.Setenv("TMPDIR", inner)
	if dir, err := notifyDir(); err == nil || !strings.Contains(err.Error(), "other users cannot search "+closed) {
		t.Errorf("%q, %v", dir, err)
	}
}

// shortDir makes a directory for sockets: the name of a test may be longer than
// theirs.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify")
	if err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
