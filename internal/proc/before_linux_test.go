package proc

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The program does not run while Before does, whose process has its pid and a
// pidfd that others can use.
func TestBefore(t *testing.T) {
	c := newChildren(t)
	r, w := pipe(t)
	s := shell("echo $$; ls /proc/$$/fd; readlink /proc/$$/fd/3")
	s.Stdout = w
	one, _ := pipe(t)
	s.Files = []int{raw(t, one)}
	var before *Process
	s.Before = func(p *Process) {
		before = p
		if err := p.Pidfd(func(fd int) {
			if err := SignalGroup(fd, p.Pid(), 0); err != nil {
				t.Errorf("look at its group: %v", err)
			}
		}); err != nil {
			t.Error(err)
		}
		// It is given the time it would need to run.
		if err := r.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Error(err)
		}
		if n, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("before it was let go it said %d bytes, %v", n, err)
		}
	}
	p := start(t, c, s)
	if p != before {
		t.Error("Before got another process")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	want := itoa(p.Pid()) + "\n0\n1\n2\n3\n" + link(t, raw(t, one)) + "\n"
	if err != nil || string(out) != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
	wait(t, "gone", p.Gone())
	if err := p.Pidfd(func(int) {}); !errors.Is(err, os.ErrClosed) {
		// await closes the file a moment after Gone.
		eventually(t, "the pidfd is closed", func() bool { return errors.Is(p.Pidfd(func(int) {}), os.ErrClosed) })
	}
}

// A program whose starter is killed before it was let go never runs.
func TestKilledBefore(t *testing.T) {
	c := newChildren(t)
	s := role(t, "killed")
	p, out := lines(t, c, s)
	var said []string
	for out.Scan() { // until the last holder of the pipe has ended
		said = append(said, out.Text())
	}
	wait(t, "exited", p.Exited())
	if p.Exit().Signal != syscall.SIGKILL {
		t.Errorf("it ended with %v", p.Exit())
	}
	if len(said) != 1 || !strings.Contains(said[0], "whoever started it has ended") {
		t.Errorf("it said %q", said)
	}
}

// playKilled kills itself before it lets a program go.
func playKilled() error {
	c, err := NewChildren()
	if err != nil {
		return err
	}
	s := shell("echo it runs")
	s.Stdout, s.Stderr = os.Stdout, os.Stdout
	s.Before = func(*Process) { _ = unix.Kill(os.Getpid(), syscall.SIGKILL); select {} }
	_, err = c.Start(s)
	return err
}

// A group is signalled through the pidfd of its leader, also when that has been
// reaped, and never when it is empty.
func TestSignalGroupOfOthers(t *testing.T) {
	c := newChildren(t)
	p, out := lines(t, c, shell("sleep 600 & echo $!"))
	line(t, out)
	wait(t, "exited", p.Exited())
	var fd int
	if err := p.Pidfd(func(pidfd int) { fd, _ = unix.Dup(pidfd) }); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := SignalGroup(fd, p.Pid(), syscall.SIGTERM); err != nil {
		t.Errorf("signal what is left: %v", err)
	}
	wait(t, "gone", p.Gone())
	if err := SignalGroup(fd, p.Pid(), syscall.SIGTERM); err != os.ErrProcessDone {
		t.Errorf("signal an empty group: %v", err)
	}
}
