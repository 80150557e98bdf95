package sock

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const roleVariable = "SOCK_TEST_ROLE"

// The test binary plays the processes that inherit a socket, as descriptor 3.
func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, role, err)
		os.Exit(1)
	}
}

func play(role string) error {
	const fd = 3
	switch role {
	case "hold":
	case "go": // as a Go server does it
		l, err := Inherit(fd)
		if err != nil {
			return err
		}
		go l.Accept()
	case "accept": // as a server with a thread for each connection does it
		if err := unix.SetNonblock(fd, false); err != nil {
			return err
		}
		go unix.Accept(fd)
	case "poll":
		go unix.Poll([]unix.PollFd{{Fd: fd, Events: unix.POLLIN}}, -1)
	case "elsewhere": // holds the socket and accepts from another
		other, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := unix.Listen(other, 1); err != nil {
			return err
		}
		go unix.Accept(other)
	case "paused", "closed", "reused":
		return ready(playEpoll(role, fd))
	default:
		return errors.New("no such role")
	}
	return ready(nil)
}

// playEpoll has the socket in an epoll set in ways that do not serve it.
func playEpoll(role string, fd int) error {
	ep, err := unix.EpollCreate1(0)
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	watched := fd
	if role == "reused" {
		watched = pair[0]
	}
	watched, err = unix.Dup(watched)
	if err != nil {
		return err
	}
	e := unix.EpollEvent{Fd: int32(watched), Events: unix.EPOLLIN}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, watched, &e); err != nil {
		return err
	}
	switch role {
	case "paused":
		e.Events = 0
		return unix.EpollCtl(ep, unix.EPOLL_CTL_MOD, watched, &e)
	case "closed": // the set keeps it, for fd keeps the socket open
		return unix.Close(watched)
	}
	return unix.Dup3(fd, watched, 0) // the set knows this number as another socket's
}

// ready tells the test that the role is played, and plays on until it ends.
func ready(err error) error {
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// start runs a role that inherits l and returns its pid and how to end it.
func start(t *testing.T, role string, l *Listener) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	// A process built with the race detector stays for a second at its end.
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	f := os.NewFile(uintptr(dup(t, l.FD())), "listener")
	defer f.Close()
	cmd.ExtraFiles = []*os.File{f}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	end = func() {
		in.Close()
		cmd.Wait()
	}
	t.Cleanup(end)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("role %s said %q, %v", role, line, err)
	}
	return cmd.Process.Pid, end
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for tick := time.NewTicker(2 * time.Millisecond); !is(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	must(t, err)
	return fd
}

// listen binds an address for the length of a test.
func listen(t *testing.T, address string, o Options) *Listener {
	t.Helper()
	a, err := ParseAddress(address)
	must(t, err)
	l, err := Listen(a, o)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// inherited is what a worker has of l.
func inherited(t *testing.T, l *Listener) net.Listener {
	t.Helper()
	w, err := Inherit(dup(t, l.FD()))
	must(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

func dial(t *testing.T, a Address) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(a.Network, a.Address, 20*time.Second)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// socketPath is short enough for a socket wherever the tests run.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}
