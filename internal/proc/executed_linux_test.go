package proc

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A child that has executed something is seen, with what it was told; one that
// was only forked is not, under whatever title.
func TestExecuted(t *testing.T) {
	const script = `
import os, sys, ctypes
if os.fork() == 0:
    # PR_SET_NAME, and the arguments written over, as setproctitle does.
    ctypes.CDLL(None).prctl(15, b"title")
    os.read(0, 1); os._exit(0)
if os.fork() == 0:
    os.execve("/bin/cat", ["/bin/cat", "-", "two words"], {"LISTEN_PID": "77", "OTHER": "LISTEN_PID=78"})
print(os.getpid(), flush=True)
os.wait()
`
	cmd := exec.Command("python3", "-c", script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	var seen []Seen
	for len(seen) == 0 {
		seen = Executed(pid)
		if t.Context().Err() != nil {
			t.Fatal("it is not seen")
		}
	}
	if len(childrenOf(pid)) != 2 || len(seen) != 1 {
		t.Fatalf("of %v it sees %+v", childrenOf(pid), seen)
	}
	got := seen[0]
	dir, _ := os.Getwd()
	if !strings.HasSuffix(got.Exe, "/cat") || !slices.Equal(got.Args, []string{"/bin/cat", "-", "two words"}) || got.ListenPID != 77 || got.Name() != "cat" || got.Dir != dir {
		t.Errorf("it sees %+v", got)
	}
	if got := Executed(1 << 23); len(got) > 0 {
		t.Errorf("of nobody it sees %+v", got)
	}
}

func TestSeenName(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"/usr/bin/node", "server.js"}, "node"},
		{[]string{"npm start"}, "npm"},
		{[]string{"nginx: master process /usr/sbin/nginx"}, "nginx"},
		{[]string{"", "x"}, "exe"},
		{nil, "exe"},
	} {
		if got := (Seen{Exe: "/bin/exe", Args: test.args}).Name(); got != test.want {
			t.Errorf("%q is %q, want %q", test.args, got, test.want)
		}
	}
}
