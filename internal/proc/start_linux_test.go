package proc

import (
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openDescriptors returns what this process has open, in order. The pipe makes
// the runtime create its poller, if it has not yet.
func openDescriptors() []string {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	defer r.Close()
	defer w.Close()
	dir := "/proc/self/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	var out []string
	for _, entry := range entries {
		if name, err := os.Readlink(dir + entry.Name()); err == nil && !strings.HasPrefix(name, "pipe:") {
			out = append(out, name)
		}
	}
	return out
}

// statusField returns a line of /proc/pid/status, "" if there is no process.
func statusField(pid, field string) string {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return ""
	}
	return fieldOf(string(text), field)
}

func fieldOf(status, field string) string {
	for l := range strings.SplitSeq(status, "\n") {
		if value, ok := strings.CutPrefix(l, field+":\t"); ok {
			return value
		}
	}
	return ""
}

func TestOnlyListedDescriptors(t *testing.T) {
	c := newChildren(t)
	// One that this process itself got from a careless parent.
	careless, err := unix.Open("/dev/zero", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(careless)
	one, two := pipe(t)
	s := shell("ls /proc/$$/fd; readlink /proc/$$/fd/3 /proc/$$/fd/4; :")
	s.Files = []int{raw(t, two), raw(t, one)}
	exit, out := run(t, c, s)
	want := "0\n1\n2\n3\n4\n" + link(t, raw(t, two)) + "\n" + link(t, raw(t, one))
	if exit != (Exit{}) || out != want {
		t.Errorf("%v, %q; want %q", exit, out, want)
	}
}

// raw returns the number of f without the side effects of Fd.
func raw(t *testing.T, f syscall.Conn) int {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := -1
	if err := conn.Control(func(fd uintptr) { n = int(fd) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func link(t *testing.T, fd int) string {
	t.Helper()
	name, err := os.Readlink("/proc/self/fd/" + itoa(fd))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// What kernels before 5.11 get.
func TestCloseListed(t *testing.T) {
	fd, err := unix.Open("/dev/zero", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := closeListed("/proc/self/fd", fd); err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
}

func TestListenerStaysNonblocking(t *testing.T) {
	c := newChildren(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	listener := l.(*net.TCPListener)
	fd := raw(t, listener)
	s := shell("sleep 600")
	s.Files = []int{fd}
	p := start(t, c, s)
	eventually(t, "the listener is inherited", func() bool {
		name, err := os.Readlink("/proc/" + itoa(p.Pid()) + "/fd/3")
		return err == nil && name == link(t, fd)
	})
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, %v: no O_NONBLOCK", flags, err)
	}
	if err := listener.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := listener.Accept(); !os.IsTimeout(err) {
		t.Errorf("accept: %v", err)
	}
}

func TestStandardFilesBlock(t *testing.T) {
	c := newChildren(t)
	in, _ := pipe(t)
	s := shell("grep -h flags: /proc/$$/fdinfo/[012]; :")
	s.Stdin = in
	if exit, out := run(t, c, s); exit != (Exit{}) || out != "flags:\t00\nflags:\t01\nflags:\t01" {
		t.Errorf("%v, %q", exit, out)
	}
}

func TestExecKeepsPid(t *testing.T) {
	c := newChildren(t)
	p := start(t, c, shell("exec sleep 600"))
	eventually(t, "it has become sleep", func() bool { return statusField(itoa(p.Pid()), "Name") == "sleep" })
	if err := p.SignalGroup(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, "gone", p.Gone())
	if want := (Exit{Signal: syscall.SIGTERM}); p.Exit() != want {
		t.Errorf("%v, want %v", p.Exit(), want)
	}
}

// A program is not harmed by what its supervisor was started with.
func TestSignalDispositions(t *testing.T) {
	c := newChildren(t)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGHUP} {
		signal.Ignore(sig)
		defer func() { // Reset would leave it ignored
			undo := make(chan os.Signal, 1)
			signal.Notify(undo, sig)
			signal.Stop(undo)
		}()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &unix.Sigset_t{Val: [16]uint64{1 << (unix.SIGUSR1 - 1)}}, &old); err != nil {
		t.Fatal(err)
	}
	exit, out := run(t, c, Spec{Path: "/bin/cat", Args: []string{"cat", "/proc/self/status"}})
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil); err != nil {
		t.Fatal(err)
	}
	if exit != (Exit{}) {
		t.Fatal(exit, out)
	}
	for field, want := range map[string]string{
		"SigBlk": "0000000000000000",
		"SigIgn": "0000000000000001", // HUP: the wish of nohup
	} {
		if got := fieldOf(out, field); got != want {
			t.Errorf("%s %s, want %s", field, got, want)
		}
	}
}

func TestUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can change the user")
	}
	c := newChildren(t)
	had, err := syscall.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setgroups([]int{77}); err != nil { // to be lost
		t.Fatal(err)
	}
	defer syscall.Setgroups(had)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	groups, err := nobody.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	entry := nobody.Uid + "\n" + nobody.Gid + "\n" + strings.Join(groups, " ")
	for who, want := range map[string]string{
		"":            "0\n0\n0 77",
		"nobody":      entry,
		nobody.Uid:    entry,
		"54321:54322": "54321\n54322\n54322",
	} {
		s := shell("id -u; id -g; id -G")
		s.User = who
		if exit, out := run(t, c, s); exit != (Exit{}) || out != want {
			t.Errorf("%q: %v, %q; want %q", who, exit, out, want)
		}
	}
}

func TestUserNeedsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can stop being root")
	}
	c := newChildren(t)
	s := role(t, "start")
	s.Path = "/proc/self/exe" // the directories above it are root's
	s.User = "54321:54322"
	s.Env = append(s.Env, "PROC_TEST_PATH=/bin/true", "PROC_TEST_USER=nobody")
	exit, out := run(t, c, s)
	if want := "start /bin/true: run as user nobody: only root can"; exit.Code != 1 || out != want {
		t.Errorf("%v, %q; want %q", exit, out, want)
	}
}

func TestExecutableDeleted(t *testing.T) {
	c := newChildren(t)
	s := role(t, "deleted")
	copied := filepath.Join(t.TempDir(), "copy")
	copyFile(t, copied, s.Path)
	s.Path = copied
	s.Env = append(s.Env, "PROC_TEST_PATH=/bin/false")
	if exit, out := run(t, c, s); exit != (Exit{}) || out != "exit status 1" {
		t.Errorf("%v, %q", exit, out)
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	r, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMalformedOrder(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"", "x", "0 free 1:2 /bin/true", "0 free 1:2:x /bin/true", "0 free 1:x:2 /bin/true", "0 free x:1:2 /bin/true"} {
		cmd := exec.Command(self)
		cmd.Env = []string{orderVariable + "=" + value}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 126 || !strings.Contains(string(out), "parse "+orderVariable) {
			t.Errorf("%q: %v, %q", value, err, out)
		}
	}
}
