package guard

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
	"golang.org/x/sys/unix"
)

// A life is what the guard has of one.
type life struct {
	Rule
	id      int
	pid     int
	pidfd   int
	channel int // the supervisor's end; -1: it has none, or it is closed

	drains bool
	busy   bool
	asked  bool
	killAt time.Time // when it is killed, or, if it was, given up; zero: not asked, or by its close signal or stop command
	endAt  time.Time // when its close signal has had its time; zero: it does not wait for that
	sent   int       // how many of its StopSteps it has
	nextAt time.Time // when the next comes; zero: none does

	command   *proc.Process // its stop command; nil: none was run
	commandfd int           // its pidfd; -1: it has ended
	signalAt  time.Time     // when the stop command has had its time; zero: none runs

	exited     bool // its own process has ended
	leaderless bool // and what it has left was told to end
	killed     bool
	left       bool // it cannot be killed
}

// takeTurn notes how far the life has come. One that has its close signal, or was
// asked, is not asked again.
func (l *life) takeTurn(t turn) {
	at := func(left *time.Duration) time.Time {
		if left == nil {
			return time.Time{}
		}
		return after(*left)
	}
	l.endAt, l.killAt, l.nextAt, l.sent = at(t.Closing), at(t.Kill), at(t.Next), t.Sent
	l.asked = t.Closing != nil || t.Kill != nil
}

// hasClosed begins the time between a life's close signal, if that was sent
// before, and what follows it.
func (l *life) hasClosed(wait time.Duration) {
	if !l.busy {
		wait = l.CloseMoment
	}
	if until := after(wait); l.endAt.IsZero() || until.Before(l.endAt) {
		l.endAt = until
	}
}

func (l *life) close() {
	_ = unix.Close(l.pidfd)
	l.closeChannel()
	l.closeCommand()
}

func (l *life) closeChannel() { shut(&l.channel) }
func (l *life) closeCommand() { shut(&l.commandfd) }

func shut(fd *int) {
	if *fd >= 0 {
		_ = unix.Close(*fd)
		*fd = -1
	}
}

// tellDrain sends the life what its supervisor would have told it, and reports
// whether it can hear it: one that does not gets its stop signal.
func (l *life) tellDrain() bool {
	if l.channel < 0 || unix.Sendto(l.channel, l.Drain, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil) != nil {
		return false
	}
	l.signalGroup(syscall.SIGCONT) // a stopped process could not obey
	return true
}

// signal sends a signal to the process, or to its group when the process has
// ended before it. A stopped process is continued, or it could not obey.
func (l *life) signal(sig syscall.Signal) {
	if l.exited {
		l.signalGroup(sig)
	} else {
		_ = unix.PidfdSendSignal(l.pidfd, sig, nil, 0) // ESRCH: its end comes
	}
	l.signalGroup(syscall.SIGCONT)
}

// arm sets when the next of its signals comes.
func (l *life) arm() {
	l.nextAt = time.Time{}
	if l.sent < len(l.StopSteps) {
		l.nextAt = after(l.StopSteps[l.sent].After)
	}
}

// linger asks what a process has left of its group to end. It has the time that
// the process was given, if that was asked.
func (l *life) linger() {
	l.signal(l.StopSignal)
	l.endAt = time.Time{}
	if l.killAt.IsZero() && l.signalAt.IsZero() {
		l.asked, l.killAt = true, after(l.StopTimeout)
	}
}

func (l *life) kill() {
	l.killed, l.signalAt, l.nextAt, l.killAt = true, time.Time{}, time.Time{}, after(stuckAfter)
	l.signalGroup(syscall.SIGKILL)
}

// signalGroup sends a signal to all of the life; that it has ended is seen
// elsewhere.
func (l *life) signalGroup(sig syscall.Signal) { _ = proc.SignalGroup(l.pidfd, l.pid, sig) }

// populated tells whether a process is left in the group. The dead that nobody
// reaps do not count: since the supervisor's end they are init's, and not
// every container has one that reaps.
func (l *life) populated() bool {
	if proc.SignalGroup(l.pidfd, l.pid, 0) == os.ErrProcessDone {
		return false
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return true
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil && livesIn(e.Name(), l.pid) {
			return true
		}
	}
	return false
}

// livesIn tells whether a process is alive and in a group. Of the line in
// proc(5), what follows the name, which may hold any byte: state, parent, group.
func livesIn(pid string, group int) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false // it has ended
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return len(f) > 2 && f[0] != "Z" && f[0] != "X" && f[2] == strconv.Itoa(group)
}

// start runs a stop command, and returns its pidfd too.
func (s *stop) start(c Command) (p *proc.Process, watch int, err error) {
	if s.children == nil {
		if s.children, err = proc.NewChildren(); err != nil {
			return nil, -1, err
		}
	}
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return nil, -1, err
	}
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LASTCALL_") { // the supervisor's, which made this process the guard
			env = append(env, kv)
		}
	}
	p, err = s.children.Start(proc.Spec{
		Path: path, Args: c.Args, Env: append(env, c.Env...), Dir: c.Dir, User: c.User, Stdout: os.Stderr, Stderr: os.Stderr,
	})
	if err != nil {
		return nil, -1, err
	}
	watch = -1
	_ = p.Pidfd(func(fd int) { watch, _ = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) })
	return p, watch, nil
}
