package sock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func unixAddress(path string) Address { return Address{"unix", path} }

// leaveStale leaves behind what a killed server does.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	must(t, unix.Listen(fd, 1))
	must(t, unix.Close(fd))
}

func TestStalePathIsReplaced(t *testing.T) {
	path := socketPath(t)
	leaveStale(t, path)
	l := listen(t, path, Options{})
	dial(t, l.Address())
	must(t, l.Close())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v, want no file", err)
	}
}

func TestWhatIsInTheWayStays(t *testing.T) {
	path := socketPath(t)
	must(t, os.WriteFile(path, []byte("precious"), 0o600))
	if _, err := Listen(unixAddress(path), Options{}); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("at a file: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file now reads %q", b)
	}

	path = socketPath(t)
	must(t, os.Symlink("nowhere", path))
	if _, err := Listen(unixAddress(path), Options{}); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("at a symbolic link: %v", err)
	}

	path = socketPath(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	if _, err := Listen(unixAddress(path), Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("at a datagram socket: %v", err)
	}

	live := listen(t, socketPath(t), Options{})
	_, err = Listen(live.Address(), Options{})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "something answers there") {
		t.Errorf("at a live socket: %v", err)
	}
	dial(t, live.Address())
}

// Of many that start at once at a stale path exactly one gets it, and keeps it.
func TestOneOfManyStartsWins(t *testing.T) {
	for range 20 {
		path := socketPath(t)
		leaveStale(t, path)
		var won [8]*Listener
		var starts sync.WaitGroup
		for i := range won {
			starts.Go(func() { won[i], _ = Listen(unixAddress(path), Options{}) })
		}
		starts.Wait()
		winners := 0
		for _, l := range won {
			if l == nil {
				continue
			}
			winners++
			dial(t, l.Address())
			if n, _ := l.Queued(); n == 0 {
				t.Error("the winner's path leads elsewhere")
			}
			must(t, l.Close())
		}
		if winners != 1 {
			t.Fatalf("%d listen at one path", winners)
		}
	}
}

func TestModeIsExactWhateverTheUmask(t *testing.T) {
	path := socketPath(t)
	old := unix.Umask(0)
	defer unix.Umask(old)
	for _, c := range []struct {
		umask      int
		mode, want os.FileMode
	}{
		{0o077, 0o666, 0o666}, {0o077, 0o660, 0o660}, {0, 0o600, 0o600}, {0o022, 0o600, 0o600}, {0o027, 0, 0o640},
	} {
		unix.Umask(c.umask)
		l, err := Listen(unixAddress(path), Options{Mode: c.mode})
		must(t, err)
		st, err := os.Lstat(path)
		must(t, err)
		if st.Mode().Perm() != c.want {
			t.Errorf("mode %o under umask %o: %o, want %o", c.mode, c.umask, st.Mode().Perm(), c.want)
		}
		must(t, l.Close())
	}
}

func TestModeIsNeverWider(t *testing.T) {
	path := socketPath(t)
	defer unix.Umask(unix.Umask(0))
	ctx, cancel := context.WithCancel(t.Context())
	var seen, wide atomic.Int64
	var watch sync.WaitGroup
	watch.Go(func() {
		for ctx.Err() == nil {
			if st, err := os.Lstat(path); err == nil {
				seen.Add(1)
				if st.Mode().Perm()&^0o600 != 0 {
					wide.Add(1)
				}
			}
		}
	})
	for range 500 {
		l, err := Listen(unixAddress(path), Options{Mode: 0o600})
		must(t, err)
		must(t, l.Close())
	}
	cancel()
	watch.Wait()
	if seen.Load() == 0 || wide.Load() > 0 {
		t.Errorf("seen %d times, %d times more open than asked", seen.Load(), wide.Load())
	}
}

func TestQuiescedPathServesItsQueue(t *testing.T) {
	l := listen(t, socketPath(t), Options{})
	w := inherited(t, l)
	client := dial(t, l.Address())
	must(t, l.Quiesce())
	must(t, l.Quiesce())
	next, err := Listen(l.Address(), Options{})
	must(t, err)
	defer next.Close()
	if empty, err := l.Empty(); empty || err != nil {
		t.Fatalf("Empty = %v, %v with one in the queue", empty, err)
	}
	server, err := AcceptQueued(w)
	must(t, err)
	defer server.Close()
	echo(t, client, server)
	if empty, err := l.Empty(); !empty || err != nil {
		t.Fatalf("Empty = %v, %v after the last", empty, err)
	}
	must(t, w.Close())
	must(t, l.Close())
	dial(t, next.Address()) // the successor's path is left alone
}

// A relative path is removed from where it was made.
func TestCloseAfterChangeOfDirectory(t *testing.T) {
	made, elsewhere := t.TempDir(), t.TempDir()
	t.Chdir(made)
	l := listen(t, "./s", Options{})
	t.Chdir(elsewhere)
	must(t, l.Close())
	if _, err := os.Lstat(made + "/s"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v, want no file", err)
	}
}

// Whoever cannot wait is not held up by a lock, neither to bind nor to close.
func TestNobodyWaitsForTheLock(t *testing.T) {
	path := socketPath(t)
	l := listen(t, path, Options{})
	dir, err := os.Open(filepath.Dir(path))
	must(t, err)
	defer dir.Close()
	must(t, unix.Flock(int(dir.Fd()), unix.LOCK_EX))
	began := time.Now()
	if _, err := Listen(unixAddress(path+"2"), Options{NoWait: true}); !errors.Is(err, errLocked) {
		t.Errorf("bind: %v, want %v", err, errLocked)
	}
	must(t, l.Quiesce())
	must(t, l.Close())
	if took := time.Since(began); took > 400*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	// At a start it is waited for, and then done without.
	late := listen(t, path, Options{})
	must(t, late.Close())
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("the lock was not waited for: %v", took)
	}
}

// One that is handed over after it was quiesced does not take its successor's
// path for its own.
func TestHandOverAfterQuiesce(t *testing.T) {
	l := listen(t, socketPath(t), Options{})
	must(t, l.Quiesce())
	next := listen(t, l.Address().Address, Options{})
	h := l.HandOver()
	var err error
	h.FD, err = unix.FcntlInt(uintptr(h.FD), unix.F_DUPFD_CLOEXEC, 3)
	must(t, err)
	heir, err := Adopt(h)
	must(t, err)
	must(t, heir.Close())
	dial(t, next.Address())
	must(t, next.Close())
	must(t, l.Close())
}
