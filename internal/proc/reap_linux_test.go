package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// init keeps the main goroutine on the main thread; see playHidden.
func init() { runtime.LockOSThread() }

// playOther plays the roles that only this system has.
func playOther(role string) int {
	play := map[string]func() error{"init": playInit, "hidden": playHidden, "killed": playKilled}[role]
	if play == nil {
		fmt.Println("no role " + role)
		return 1
	}
	if err := play(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// playInit is pid 1 of a pid namespace that reaps a daemon and keeps the
// status of a child of os/exec.
func playInit() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	c, err := NewChildren()
	if err != nil {
		return err
	}
	defer c.Close()
	cmd := exec.Command("/bin/sh", "-c", "setsid sh -c 'sh -c : & exit 0' & exit 7")
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
		return fmt.Errorf("status %v", err)
	}
	if !poll(func() bool { return len(kin(1)) == 0 }) {
		return fmt.Errorf("left: %v", kin(1))
	}
	fmt.Println("pid", os.Getpid())
	return nil
}

// kin returns the children of a process, as "pid state name".
func kin(parent int) []string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		panic(err)
	}
	var out []string
	for _, entry := range entries {
		pid := entry.Name()
		if _, err := strconv.Atoi(pid); err == nil && statusField(pid, "PPid") == itoa(parent) {
			out = append(out, pid+" "+statusField(pid, "State")+" "+statusField(pid, "Name"))
		}
	}
	return out
}

func noChildren(t *testing.T) {
	t.Helper()
	if !poll(func() bool { return len(kin(os.Getpid())) == 0 }) {
		t.Errorf("left: %q", kin(os.Getpid()))
	}
}

func isZombie(pid string) bool { return strings.HasPrefix(statusField(pid, "State"), "Z") }
func exists(pid string) bool   { return statusField(pid, "State") != "" }

func TestInit(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{roleVariable + "=init", "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("no right to make a pid namespace")
	}
	if err != nil || string(out) != "pid 1\n" {
		t.Errorf("%v, %q", err, out)
	}
}

// A member of the group whose parent has died is ours to reap, while the
// leader lives.
func TestOrphanOfGroup(t *testing.T) {
	c := newChildren(t)
	end, stay := pipe(t)
	s := shell("exec 3<&0; (cat <&3 >/dev/null & echo $!); exec sleep 600")
	s.Stdin = end
	p, out := lines(t, c, s)
	orphan := line(t, out)
	eventually(t, "the orphan is ours", func() bool { return statusField(orphan, "PPid") == itoa(os.Getpid()) })
	if err := stay.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphan is reaped", func() bool { return !exists(orphan) })
	if isClosed(p.Exited()) {
		t.Fatal("the leader has ended")
	}
}

func TestDaemonIsReaped(t *testing.T) {
	c := newChildren(t)
	p, out := lines(t, c, shell("setsid sh -c 'sleep 600 & echo $!'"))
	daemon := line(t, out)
	wait(t, "gone", p.Gone()) // it has left the group
	if parent := statusField(daemon, "PPid"); parent != itoa(os.Getpid()) {
		t.Fatalf("parent %q", parent)
	}
	kill(t, daemon)
	eventually(t, "the daemon is reaped", func() bool { return !exists(daemon) })
}

func kill(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// zombie starts a child of os/exec and returns when it is dead and unwaited.
func zombie(t *testing.T, attr *syscall.SysProcAttr) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "exit 7")
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is a zombie", func() bool { return isZombie(itoa(cmd.Process.Pid)) })
	return cmd
}

func TestOtherChildrenKeepTheirStatus(t *testing.T) {
	c := newChildren(t)
	for _, attr := range []*syscall.SysProcAttr{nil, {Setpgid: true}, {Setsid: true}} {
		cmd := zombie(t, attr)
		for range 10 {
			c.sweep()
		}
		wait(t, "gone", start(t, c, shell("sleep 0 & exit 0")).Gone())
		if !isZombie(itoa(cmd.Process.Pid)) {
			t.Errorf("%+v: reaped", attr)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
			t.Errorf("%+v: %v", attr, err)
		}
	}
}

func TestReleasedChildIsReaped(t *testing.T) {
	c := newChildren(t)
	cmd := zombie(t, nil)
	c.sweep()
	if !isZombie(itoa(cmd.Process.Pid)) {
		t.Fatal("reaped, though it can still be waited for")
	}
	if err := cmd.Process.Release(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is reaped", func() bool { return !exists(itoa(cmd.Process.Pid)) })
}

func TestHiddenBehindZombie(t *testing.T) {
	c := newChildren(t)
	if exit, out := run(t, c, role(t, "hidden")); exit != (Exit{}) || out != "" {
		t.Errorf("%v, %q", exit, out)
	}
}

// playHidden has a zombie that is not to be taken, of the main thread, which
// also gets the orphans: the kernel shows the older ones of a thread first.
func playHidden() error {
	c, err := NewChildren()
	if err != nil {
		return err
	}
	defer c.Close()
	older := exec.Command("/bin/sh", "-c", "exit 7")
	if err := older.Start(); err != nil {
		return err
	}
	if !poll(func() bool { return isZombie(itoa(older.Process.Pid)) }) {
		return errors.New("the older child is no zombie")
	}
	daemon, err := playHiddenGroup(c)
	if err != nil {
		return err
	}
	if !poll(func() bool { return isZombie(daemon) }) {
		return errors.New("the daemon is no zombie")
	}
	c.sweep()
	if !isZombie(daemon) {
		return errors.New("the daemon was not hidden: this tests nothing")
	}
	if err := older.Wait(); older.ProcessState.ExitCode() != 7 {
		return fmt.Errorf("the older child: %v", err)
	}
	if !poll(func() bool { return !exists(daemon) }) {
		return errors.New("the daemon is not reaped")
	}
	return nil
}

// playHiddenGroup returns when a group with an orphan is gone, and the pid of
// a daemon that the orphan has killed.
func playHiddenGroup(c *Children) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	defer w.Close()
	s := shell("p=$(setsid sh -c 'sleep 600 >/dev/null & echo $!'); echo $p; kill -KILL $p & exit 3")
	s.Stdout = w
	p, err := c.Start(s)
	if err != nil {
		return "", err
	}
	line := make([]byte, 32)
	n, err := r.Read(line)
	if err != nil {
		return "", err
	}
	if !poll(func() bool { return isClosed(p.Gone()) }) {
		return "", errors.New("the group is not gone")
	}
	return strings.TrimSpace(string(line[:n])), nil
}

// Others start and wait, orphans come and go, everybody gets their own.
func TestStatusesUnderLoad(t *testing.T) {
	c := newChildren(t)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 20 {
				cmd := exec.Command("/bin/sh", "-c", "exit 7")
				if err := cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
					t.Errorf("os/exec: %v", err)
				}
			}
		})
	}
	all.Go(func() {
		for range 20 {
			p := start(t, c, shell("(: & :) & (setsid sh -c ': &' &); exit 9"))
			wait(t, "gone", p.Gone())
			if want := (Exit{Code: 9}); p.Exit() != want {
				t.Errorf("%v, want %v", p.Exit(), want)
			}
		}
	})
	all.Wait()
	noChildren(t)
}

func TestStatusTakenByOther(t *testing.T) {
	c := newChildren(t)
	in, hold := pipe(t)
	s := shell("read x; exit 3")
	s.Stdin = in
	p := start(t, c, s)
	c.mu.Lock() // keeps it from being reaped here
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	_, ended := reapPid(p.Pid(), 0)
	c.mu.Unlock()
	wait(t, "gone", p.Gone())
	if want := (Exit{Code: -1}); !ended || p.Exit() != want {
		t.Errorf("%v, want %v", p.Exit(), want)
	}
}

func TestManyChildrenFewThreads(t *testing.T) {
	c := newChildren(t)
	threads := func() int {
		n, err := strconv.Atoi(statusField("self", "Threads"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := threads()
	var all []*Process
	for range 300 {
		all = append(all, start(t, c, Spec{Path: "/bin/sleep", Args: []string{"sleep", "600"}}))
	}
	running := threads()
	for _, p := range all {
		if err := p.SignalGroup(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range all {
		wait(t, "gone", p.Gone())
		if want := (Exit{Signal: syscall.SIGKILL}); p.Exit() != want {
			t.Errorf("%v, want %v", p.Exit(), want)
		}
	}
	if after := threads(); running > before+10 || after > before+10 {
		t.Errorf("threads: %d before, %d with 300 children, %d after", before, running, after)
	}
}

// What kernels before 6.9 get.
func TestSendGroupByNumber(t *testing.T) {
	c := newChildren(t)
	p, out := lines(t, c, shell("sleep 600 & echo ready; exit 3"))
	line(t, out)
	wait(t, "exited", p.Exited())
	const unknownFlag = 1 << 20
	pidfd := raw(t, p.handle.file)
	if err := sendGroup(pidfd, p.Pid(), syscall.SIGKILL, unknownFlag); err != nil {
		t.Fatal(err)
	}
	wait(t, "gone", p.Gone())
}

func TestClose(t *testing.T) {
	c := newChildren(t)
	p, err := c.Start(shell("sleep 600"))
	if err != nil {
		t.Fatal(err)
	}
	linger, err := c.Start(shell("sleep 600 & exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "exited", linger.Exited())
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(p.Pid(), 0); err != nil {
		t.Errorf("the child: %v", err)
	}
	if isClosed(p.Exited()) || isClosed(p.Gone()) || isClosed(linger.Gone()) {
		t.Error("closed, though it lives")
	}
	for name, send := range map[string]func(syscall.Signal) error{"Signal": p.Signal, "SignalGroup": p.SignalGroup} {
		if err := send(syscall.SIGTERM); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Start(shell("exit 0")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("start: %v", err)
	}
	for _, pid := range []int{p.Pid(), linger.Pid()} {
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	if exit, _ := reapPid(p.Pid(), 0); exit.Signal != syscall.SIGKILL {
		t.Error(exit)
	}
	newChildren(t) // the next one takes over what is left
	noChildren(t)
}
