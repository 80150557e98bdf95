package guard

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What others need ends last, and is asked only when they are gone.
func TestOrder(t *testing.T) {
	t.Parallel()
	s := stage(t,
		part{Rule: rule("redis"), Script: obeys(0, "0")},
		part{Rule: rule("auth", "redis"), Script: obeys(1, "0.1")},
		part{Rule: rule("web", "auth", "redis"), Script: obeys(2, "0.2")},
		part{Rule: rule("web", "auth", "redis"), Script: obeys(3, "0.3")},
	)
	s.ended()
	words := s.deeds()
	if len(words) != 8 {
		t.Fatalf("journal: %q", words)
	}
	at := func(what string) int {
		i := slices.Index(words, what)
		if i < 0 {
			t.Fatalf("journal: %q has no %q", words, what)
		}
		return i
	}
	if max(at("term 2"), at("term 3")) > min(at("end 2"), at("end 3")) {
		t.Error("the two webs did not end at the same time")
	}
	if max(at("end 2"), at("end 3")) > at("term 1") || at("end 1") > at("term 0") {
		t.Errorf("not in order: %q", words)
	}
}

// A life that has its own word for it is told by that, and has its channel to
// the end; one that needs not be asked yet sees nothing of its supervisor's.
func TestChannel(t *testing.T) {
	t.Parallel()
	tells := func(n int) string { // what it reads from its channel, to the end
		return fmt.Sprintf(`echo on %[1]d >>$JOURNAL; exec 3<&3; while m=$(head -c 5 <&3) && [ -n "$m" ]; do echo told %[1]d $m >>$JOURNAL; done; echo end %[1]d >>$JOURNAL`, n)
	}
	helper := rule("auth")
	helper.Drain = []byte("drain")
	web := rule("web", "auth")
	s := stage(t,
		part{Rule: helper, Script: tells(0), Channel: true, Uses: true},
		part{Rule: web, Script: obeys(1, "0.2"), Channel: true},
	)
	s.ended()
	if diff := cmp.Diff([]string{"term 1", "end 1", "told 0 drain", "end 0"}, s.deeds()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What does not end is killed at its deadline, its children too; not before.
func TestDeadline(t *testing.T) {
	t.Parallel()
	r := rule("web")
	r.KillAfter = 300 * time.Millisecond
	s := stage(t, part{Rule: r, Script: "sh -c 'trap \"\" TERM; sleep 600' & " + deaf(0)})
	if took := s.ended(); took < r.KillAfter {
		t.Errorf("killed after %v, before its %v were over", took, r.KillAfter)
	}
	if log := read(s.errs); !strings.Contains(log, `level=WARN msg="killed: did not end in time" worker=web.0 pid=`+strconv.Itoa(s.pids[0])) {
		t.Error("the log does not say that it was killed")
	}
}

// A life that was asked before has the time that it was given then, and is not
// asked again.
func TestAskedBefore(t *testing.T) {
	t.Parallel()
	left := 300 * time.Millisecond
	s := stage(t, part{Rule: rule("web"), Script: obeys(0, "0"), Told: &left})
	if took := s.ended(); took < left/2 {
		t.Errorf("ended after %v", took)
	}
	if s.said() != "on 0\n" {
		t.Errorf("journal %q: it was asked twice", s.said())
	}
}

// What a leader has left behind is asked to end, and waited for.
func TestGrandchildren(t *testing.T) {
	t.Parallel()
	s := stage(t,
		part{Rule: rule("redis"), Script: obeys(0, "0")},
		part{Rule: rule("web", "redis"), Script: "(" + obeys(1, "0.2") + ") & echo on 1; sleep 600"},
	)
	s.ended()
	if diff := cmp.Diff([]string{"term 1", "end 1", "term 0", "end 0"}, s.deeds()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestStopCommand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		command []string
		timeout time.Duration
		want    string // in the journal
	}{
		"ends it":      {[]string{"sh", "-c", "echo command $WHICH >>$JOURNAL; kill -KILL $(cat $JOURNAL.pid)"}, time.Hour, "on 0\ncommand this\n"},
		"fails":        {[]string{"sh", "-c", "exit 3"}, time.Hour, "on 0\nterm 0\nend 0\n"},
		"hangs":        {[]string{"sh", "-c", "sleep 600"}, 200 * time.Millisecond, "on 0\nterm 0\nend 0\n"},
		"is not there": {[]string{"/no/such/command"}, time.Hour, "on 0\nterm 0\nend 0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rule("redis")
			r.StopCommand = &Command{Args: c.command, Env: []string{"WHICH=this"}}
			r.StopTimeout = c.timeout
			s := stage(t, part{Rule: r, Script: "echo $$ >$JOURNAL.pid; " + obeys(0, "0")})
			s.ended()
			if s.said() != c.want {
				t.Errorf("journal %q, want %q", s.said(), c.want)
			}
		})
	}
}

// A guard that dies is replaced by one that knows all that it knew.
func TestReplaced(t *testing.T) {
	t.Parallel()
	web := rule("web", "redis")
	web.Drain = []byte("drain")
	long := time.Hour
	s := stage(t,
		part{Rule: rule("redis"), Script: obeys(0, "0")},
		part{Rule: rule("web", "redis"), Script: obeys(1, "0.1")},
		part{Rule: web, Script: "echo on 2 >>$JOURNAL; told=$(head -c 5 <&3); echo $told 2 >>$JOURNAL", Channel: true, Uses: true},
		part{Rule: rule("web", "redis"), Script: "(trap 'echo term 3 >>$JOURNAL' TERM; echo on 3 >>$JOURNAL; read x <&3)", Channel: true, Told: &long},
	)
	for range 2 {
		old := s.guard()
		if err := unix.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.until("there is another guard", func() bool { pid := s.guard(); return pid != 0 && pid != old })
	}
	s.ended()
	said := s.deeds()
	last := slices.Clone(said[max(0, len(said)-3):])
	slices.Sort(said)
	want := []string{"drain 2", "end 0", "end 1", "term 0", "term 1"} // 3 had been asked before
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"end 1", "term 0", "end 0"}, last); diff != "" {
		t.Errorf("at last: -want +got:\n%s", diff)
	}
}

// What ends or stops the supervisor, or everything on its terminal, does not
// reach the guard, and it is in a group of its own.
func TestSignals(t *testing.T) {
	t.Parallel()
	s := stage(t)
	guard := s.guard()
	for _, sig := range []syscall.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
	} {
		s.until(sig.String()+" is ignored", func() bool {
			_, status, _ := strings.Cut(read(fmt.Sprintf("/proc/%d/status", guard)), "\nSigIgn:\t")
			hex, _, _ := strings.Cut(status, "\n")
			mask, err := strconv.ParseUint(hex, 16, 64)
			return err == nil && mask&(1<<(sig-1)) != 0
		})
	}
	if group, err := unix.Getpgid(guard); err != nil || group != guard {
		t.Errorf("the guard is in group %d, %v", group, err)
	}
}

// A guard that is stopped keeps nobody waiting for long, and is replaced.
func TestGuardThatDoesNotRead(t *testing.T) {
	t.Parallel()
	s := stage(t, part{Rule: rule("web"), Script: obeys(0, "0")})
	old := s.guard()
	if err := unix.Kill(old, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(s.in, "flood")
	s.until("there is another guard", func() bool { pid := s.guard(); return pid != 0 && pid != old })
	s.ended()
}

// An orderly end leaves no guard, and whom it guarded in peace.
func TestClose(t *testing.T) {
	t.Parallel()
	s := stage(t, part{Rule: rule("web"), Script: obeys(0, "0")})
	guard := s.guard()
	fmt.Fprintln(s.in, "close")
	if got := s.line(); got != "closed" {
		t.Fatal(got)
	}
	if err := unix.Kill(guard, 0); err != syscall.ESRCH {
		t.Errorf("the guard is still there: %v", err)
	}
	s.kill()
	_ = s.cmd.Wait()
	if left := s.left(); len(left) == 0 || strings.Contains(s.said(), "term") {
		t.Errorf("journal %q, left %v", s.said(), left)
	}
}

// Where init does not reap, the dead are not waited for.
func TestNobodyReaps(t *testing.T) {
	t.Parallel()
	r := rule("web", "redis")
	s := play(t, "hoarder",
		part{Rule: rule("redis"), Script: obeys(0, "0")},
		part{Rule: r, Script: obeys(1, "0")},
	)
	if got := s.line(); got != "ended" {
		t.Fatal(got)
	}
}

// playHoarder runs a supervisor as the subreaper that never reaps, kills it,
// and says when its guard has ended.
func playHoarder() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"=supervisor")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var pids [2]int
	if _, err := fmt.Fscanf(out, "ready %d %d\n", &pids[0], &pids[1]); err != nil {
		return err
	}
	fmt.Fprintln(in, "pid")
	var guard int
	if _, err := fmt.Fscanf(out, "%d\n", &guard); err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(guard, 0)
	if err != nil {
		return err
	}
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	if _, err := again(func() (int, error) {
		return unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
	}); err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, 0); err != nil {
			return fmt.Errorf("somebody has reaped %d: %w", pid, err)
		}
	}
	fmt.Println("ended")
	return nil
}
