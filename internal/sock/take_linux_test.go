package sock

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// given is a descriptor as it comes from a parent: blocking, and nobody's.
func given(t *testing.T, network, address string) int {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l, ok := l.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false)
	}
	var fd int
	if err := control(l, func(n int) (err error) {
		fd, err = unix.FcntlInt(uintptr(n), unix.F_DUPFD, 3)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, test := range []struct {
		network, address string
		at, elsewhere    []Address
	}{
		{"tcp", "127.0.0.1:0", []Address{{"tcp", "127.0.0.1:0"}, {"tcp4", "localhost:0"}}, []Address{{"tcp", ":0"}, {"tcp", "127.0.0.2:0"}, {"tcp", "127.0.0.1:1"}, {"unix", path}}},
		{"tcp", ":0", []Address{{"tcp", ":0"}}, []Address{{"tcp", "127.0.0.1:0"}}},
		{"unix", path, []Address{{"unix", path}, {"unix", filepath.Join(path, "..", "s")}}, []Address{{"unix", path + "2"}, {"tcp", ":0"}}},
	} {
		l, err := Take(given(t, test.network, test.address))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range test.at {
			if !l.At(a) {
				t.Errorf("%s is not at %s", l.Address(), a)
			}
		}
		for _, a := range test.elsewhere {
			if l.At(a) {
				t.Errorf("%s is at %s", l.Address(), a)
			}
		}
		flags, _ := unix.FcntlInt(uintptr(l.FD()), unix.F_GETFL, 0)
		exec, _ := unix.FcntlInt(uintptr(l.FD()), unix.F_GETFD, 0)
		if flags&unix.O_NONBLOCK == 0 || exec&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %#x", flags, exec)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the path was not ours: %v", err)
	}
}

func TestTakeWhatIsNoListener(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	datagrams, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(datagrams)
	if _, err := Take(int(file.Fd())); err == nil || !strings.HasSuffix(err.Error(), ": it is not a socket") {
		t.Error(err)
	}
	if _, err := Take(datagrams); err == nil || !strings.Contains(err.Error(), "not a stream socket that listens") {
		t.Error(err)
	}
}

// A path that is taken over is removed by the last who owns it, and only then.
func TestOwnPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, leave := range []bool{true, false} {
		_ = os.Remove(path)
		l, err := Take(given(t, "unix", path))
		if err != nil {
			t.Fatal(err)
		}
		if !l.OwnPath(0o600) {
			t.Fatal("the path is not there")
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if leave {
			l.LeavePath()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); leave != (err == nil) {
			t.Errorf("left %v: %v", leave, err)
		}
	}
	l, err := Take(given(t, "unix", path))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if l.OwnPath(0) {
		t.Error("it owns a path that is gone")
	}
}
