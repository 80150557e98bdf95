package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// roleVariable makes the test binary play a child.
const roleVariable = "PROC_TEST_ROLE"

// limit is how long anything may take that is certain to happen.
const limit = 60 * time.Second

func TestMain(m *testing.M) {
	Shim()
	if role, ok := os.LookupEnv(roleVariable); ok {
		os.Exit(play(role))
	}
	before := openDescriptors()
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if !poll(func() bool { return slices.Equal(openDescriptors(), before) }) {
		fmt.Fprintf(os.Stderr, "descriptors before %v, after %v\n", before, openDescriptors())
		code = 1
	}
	os.Exit(code)
}

// play is the main of a child; it returns its exit status.
func play(role string) int {
	switch role {
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		if _, err := io.ReadAll(os.Stdin); err != nil {
			return 1
		}
		return 0
	case "start":
		return playStart()
	case "deleted":
		self, err := os.Executable()
		if err == nil {
			err = os.Remove(self)
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
		return playStart()
	default:
		return playOther(role)
	}
}

// playStart starts what the environment says and prints what became of it.
func playStart() int {
	c, err := NewChildren()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer c.Close()
	p, err := c.Start(Spec{
		Path: os.Getenv("PROC_TEST_PATH"), Args: []string{"x"}, User: os.Getenv("PROC_TEST_USER"),
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	<-p.Gone()
	fmt.Println(p.Exit())
	return 0
}

// poll reports whether cond becomes true within limit.
func poll(cond func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if cond() {
			return true
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		}
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !poll(cond) {
		t.Fatalf("not within %v: %s", limit, what)
	}
}

func wait(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("not closed within %v: %s", limit, what)
	}
}

func newChildren(t *testing.T) *Children {
	t.Helper()
	c, err := NewChildren()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// start starts s, and sees to it that nothing of it outlives the test.
func start(t *testing.T, c *Children, s Spec) *Process {
	t.Helper()
	p, err := c.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.SignalGroup(syscall.SIGKILL) // most have ended long ago
		wait(t, "gone", p.Gone())
	})
	return p
}

// shell returns the Spec of a shell that runs script.
func shell(script string) Spec {
	return Spec{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

// role returns the Spec of this binary in a role.
func role(t *testing.T, name string) Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Path: self, Args: []string{name}, Env: []string{roleVariable + "=" + name}}
}

// pipe returns a pipe that the test closes.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close() // the test may have closed it
		_ = w.Close()
	})
	return r, w
}

// lines starts s and returns the process and what it prints, line by line.
func lines(t *testing.T, c *Children, s Spec) (*Process, *bufio.Scanner) {
	t.Helper()
	r, w := pipe(t)
	s.Stdout = w
	p := start(t, c, s)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return p, bufio.NewScanner(r)
}

func line(t *testing.T, s *bufio.Scanner) string {
	t.Helper()
	if !s.Scan() {
		t.Fatalf("no line: %v", s.Err())
	}
	return s.Text()
}

// run runs s to its end, and returns all it wrote to stdout and stderr.
func run(t *testing.T, c *Children, s Spec) (Exit, string) {
	t.Helper()
	r, w := pipe(t)
	s.Stdout, s.Stderr = w, w
	p := start(t, c, s)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, r); err != nil {
		t.Fatal(err)
	}
	wait(t, "exited", p.Exited())
	return p.Exit(), strings.TrimSpace(out.String())
}
