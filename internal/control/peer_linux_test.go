package control

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// as calls f with the credentials of another user, which on Linux are those of
// one thread.
func as(t *testing.T, uid int, f func()) {
	t.Helper()
	set := func(uid int) {
		keep := ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			t.Fatalf("become user %d: %v", uid, errno)
		}
	}
	runtime.LockOSThread()
	set(uid)
	f()
	set(0)
	runtime.UnlockOSThread()
}

// open makes a directory that any user may use.
func open(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user too")
	}
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOtherUsersAreNotServed(t *testing.T) {
	path := filepath.Join(open(t), "s.sock")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(&fake{}) }()
	ask := func(uid int) (answer string, err error) {
		var c net.Conn
		as(t, uid, func() { c, err = net.Dial("unix", path) })
		if err != nil {
			return "", err
		}
		defer c.Close()
		io.WriteString(c, "GET /v1/status HTTP/1.0\r\n\r\n")
		b, _ := io.ReadAll(c) // a reset is no answer either
		return string(b), nil
	}
	if _, err := ask(65534); err == nil {
		t.Error("the mode of the socket lets others connect")
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if answer, err := ask(65534); err != nil || answer != "" {
		t.Errorf("another user was answered %q, %v", answer, err)
	}
	if answer, err := ask(0); err != nil || !strings.HasPrefix(answer, "HTTP/1.0 200 OK") {
		t.Errorf("we were answered %q, %v", answer, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestOtherUsersAreNotBelieved(t *testing.T) {
	path := filepath.Join(open(t), "s.sock")
	var l net.Listener
	var err error
	as(t, 65533, func() { l, err = net.Listen("unix", path) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for uid, believes := range map[int]bool{65534: false, 65533: true, 0: true} {
		as(t, uid, func() { _, err = answers(path) })
		if (err == nil) != believes {
			t.Errorf("user %d: %v, want believed: %t", uid, err, believes)
		}
		if err != nil && !strings.Contains(err.Error(), "is served by user 65533") {
			t.Errorf("user %d: %v", uid, err)
		}
	}
}

// What bind does after it may come too late: the file must be private at once.
func TestSocketIsBornPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := (&net.ListenConfig{Control: bornPrivate}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
