package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestSocketIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "s.sock")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, want := range map[string]os.FileMode{path: 0o600 | os.ModeSocket, filepath.Dir(path): 0o700 | os.ModeDir} {
		if info, err := os.Lstat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := stale(t)
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answers(path); err != nil {
		t.Errorf("nobody answers: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left := names(t, filepath.Dir(path)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLiveSocketIsRefused(t *testing.T) {
	_, path := start(t, &fake{status: Status{Name: "first"}})
	_, err := Listen(path)
	var inUse *InUse
	if !errors.As(err, &inUse) || inUse.Path != path {
		t.Fatalf("error %v, want *InUse", err)
	}
	pid := ""
	if inUse.PID != 0 {
		pid = fmt.Sprintf(" (pid %d)", os.Getpid())
	}
	want := fmt.Sprintf(`a supervisor already runs here: %[1]s answers%[2]s; stop it with "lastcall stop --socket %[1]s", or give this one another --socket`, path, pid)
	if err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if s, err := Dial(path).Status(limited(t)); err != nil || s.Name != "first" {
		t.Errorf("the first does not answer any more: %v, %v", s.Name, err)
	}
}

// One that listens and does not accept is alive, however full its queue.
func TestBusySocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		defer c.Close()
	}
	before := inode(t, path)
	if s, err := Listen(path); err == nil {
		s.Close()
		t.Error("replaced")
	}
	if inode(t, path) != before {
		t.Error("the socket is another one now")
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir} {
		_, err := Listen(path)
		if err == nil || !strings.Contains(err.Error(), "exists and is not a socket") {
			t.Errorf("listen on %s: %v", path, err)
		}
	}
	if b, err := os.ReadFile(link); err != nil || string(b) != "precious" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

func TestPathIsChecked(t *testing.T) {
	limit := len(syscall.RawSockaddrUnix{}.Path) - 1
	dir := t.TempDir()
	longest := filepath.Join(dir, strings.Repeat("x", limit-len(dir)-1))
	s, err := Listen(longest)
	if err != nil {
		t.Fatalf("a path of %d bytes: %v", len(longest), err)
	}
	s.Close()
	for path, want := range map[string]string{
		"":             "its path is empty",
		"@abstract":    "is not a path",
		longest + "x":  fmt.Sprintf("path is %d bytes long and can be %d", limit+1, limit),
		"/dev/null/s":  "make directory of control socket",
		"/proc/self/s": "lock control socket",
	} {
		if s, err := Listen(path); err == nil {
			s.Close()
			t.Errorf("%q was taken", path)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %q, want %q in one line", path, err, want)
		}
	}
}

func TestOfManyThatListenOneWins(t *testing.T) {
	path := stale(t) // so that there is something to replace too
	var wg sync.WaitGroup
	servers, errs := make([]*Server, 20), make([]error, 20)
	begin := make(chan struct{})
	for i := range servers {
		wg.Go(func() {
			<-begin
			servers[i], errs[i] = Listen(path)
		})
	}
	close(begin)
	wg.Wait()
	won := 0
	for i, s := range servers {
		var inUse *InUse
		switch {
		case errs[i] == nil:
			won++
			defer s.Close()
		case !errors.As(errs[i], &inUse):
			t.Errorf("error %v, want *InUse", errs[i])
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
	if _, err := answers(path); err != nil {
		t.Errorf("nobody answers: %v", err)
	}
}

// Listening and closing in turns from many sides, each sees its own socket or
// none: a Close that unlinked a successor's would leave that one unreachable.
func TestCloseAndListenRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				s, err := Listen(path)
				if err != nil {
					if inUse := (*InUse)(nil); !errors.As(err, &inUse) {
						t.Errorf("listen: %v", err)
					}
					continue
				}
				if _, err := answers(path); err != nil {
					t.Errorf("own socket does not answer: %v", err)
				}
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if left := names(t, filepath.Dir(path)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCloseUnlinksItsOwnOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil { // by hand, as people do
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for range 2 {
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := answers(path); err != nil {
		t.Errorf("the second does not answer any more: %v", err)
	}
}

func TestCloseWithoutItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	s, err := Listen(filepath.Join(dir, "s.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
