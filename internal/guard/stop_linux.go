package guard

import (
	"log/slog"
	"slices"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
	"golang.org/x/sys/unix"
)

const (
	// lingerInterval is how often a group without its leader is looked at:
	// there is no event for its end.
	lingerInterval = 100 * time.Millisecond
	// stuckAfter is how long a killed life may take to disappear; after it the
	// guard goes on without.
	stuckAfter = 10 * time.Second
)

// A stop is the orderly stop that the supervisor did not come to finish.
type stop struct {
	lives    []*life        // those that are left, the oldest first
	children *proc.Children // runs stop commands; nil: none has run yet
	log      *slog.Logger
	out      *output
}

func newStop(t table, format string) *stop {
	s := &stop{out: newOutput()}
	s.log = slog.New(slog.NewTextHandler(s.out, nil))
	if format == "json" {
		s.log = slog.New(slog.NewJSONHandler(s.out, nil))
	}
	for _, l := range t {
		s.lives = append(s.lives, l)
	}
	slices.SortFunc(s.lives, func(a, b *life) int { return a.id - b.id })
	return s
}

// run returns when all lives are gone.
func (s *stop) run() {
	defer s.out.close()
	s.poll(0)
	s.log.Warn("the supervisor is gone, its guard finishes the stop", "lives", len(s.lives))
	for _, l := range s.lives {
		if l.asked {
			l.closeChannel()
		}
		if !l.endAt.IsZero() {
			l.hasClosed(l.CloseTimeout)
		}
	}
	for s.pass(); len(s.lives) > 0; s.pass() {
		s.wait()
	}
	s.log.Info("the guard has ended")
}

// pass does all that is due now.
func (s *stop) pass() {
	for again := true; again; {
		s.lives = slices.DeleteFunc(s.lives, func(l *life) bool { return l.left || s.gone(l) })
		again = false
		for _, l := range s.lives {
			if !l.asked && !s.needed(l) {
				s.ask(l)
			}
			s.due(l)
			again = again || l.left
		}
	}
}

// needed tells whether a life is left that must be gone before this one.
func (s *stop) needed(l *life) bool {
	return slices.ContainsFunc(s.lives, func(other *life) bool { return slices.Contains(other.Needs, l.Program) })
}

// gone tells whether nothing is left of a life, and lets go of it then.
func (s *stop) gone(l *life) bool {
	if !l.exited || l.populated() {
		return false
	}
	s.log.Info("gone", "worker", l.Worker, "pid", l.pid)
	s.letGo(l)
	return true
}

func (s *stop) letGo(l *life) {
	if l.command != nil {
		_ = l.command.SignalGroup(syscall.SIGKILL) // most often it has ended
	}
	l.close()
}

// ask asks a life to stop by the way it understands: what holds the guard's
// end of its channel is closed in any case, so that one that was about to use
// it learns that there is nobody.
func (s *stop) ask(l *life) {
	l.asked = true
	defer l.closeChannel()
	switch {
	case l.drains && l.tellDrain():
		l.killAt = after(l.KillAfter)
		s.log.Info("asked to drain", "worker", l.Worker, "pid", l.pid)
	case l.CloseSignal != 0 && !l.exited:
		s.send(l, l.CloseSignal)
		l.hasClosed(l.CloseTimeout)
	default:
		s.end(l)
	}
}

// end asks a life that is not told over its channel to end.
func (s *stop) end(l *life) {
	l.endAt = time.Time{}
	if l.StopCommand != nil && s.command(l) {
		l.signalAt = after(l.StopTimeout)
	} else {
		s.signal(l)
	}
}

func (s *stop) signal(l *life) {
	l.signalAt, l.killAt, l.sent = time.Time{}, after(l.KillAfter), 0
	s.send(l, l.StopSignal)
	l.arm()
}

// step sends the next of the signals that follow the stop signal.
func (s *stop) step(l *life) {
	s.send(l, l.StopSteps[l.sent].Signal)
	l.sent++
	l.arm()
}

func (s *stop) send(l *life, sig syscall.Signal) {
	s.log.Info("signalled", "worker", l.Worker, "pid", l.pid, "signal", sig.String())
	l.signal(sig)
}

// command runs the life's stop command, and tells whether it runs.
func (s *stop) command(l *life) bool {
	p, watch, err := s.start(*l.StopCommand)
	if err != nil {
		s.log.Warn("stop command", "worker", l.Worker, "err", err)
		return false
	}
	s.log.Info("stop command", "worker", l.Worker, "pid", l.pid, "command", l.StopCommand.Args[0])
	l.command, l.commandfd = p, watch
	return true
}

// due deals with what has ended, and with the deadlines that have passed.
func (s *stop) due(l *life) {
	now := time.Now()
	if l.command != nil && isClosed(l.command.Exited()) && !l.signalAt.IsZero() {
		if e := l.command.Exit(); e != (proc.Exit{}) {
			s.log.Warn("stop command", "worker", l.Worker, "ended", e.String())
			s.signal(l)
		}
	}
	if l.exited && !l.leaderless {
		l.leaderless = true
		l.linger()
	}
	passed := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case passed(l.endAt):
		s.end(l)
	case passed(l.signalAt):
		s.signal(l)
	case passed(l.nextAt) && !passed(l.killAt):
		s.step(l)
	case l.killAt.IsZero() || now.Before(l.killAt):
	case l.killed:
		s.log.Error("still there after it was killed", "worker", l.Worker, "pid", l.pid)
		l.left = true
		s.letGo(l)
	default:
		s.log.Warn("killed: did not end in time", "worker", l.Worker, "pid", l.pid)
		l.kill()
	}
}

// wait returns when a process has ended, or a deadline has come.
func (s *stop) wait() {
	var next time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, l := range s.lives {
		sooner(l.signalAt)
		sooner(l.killAt)
		sooner(l.endAt)
		sooner(l.nextAt)
		if l.exited {
			sooner(after(lingerInterval))
		}
	}
	timeout := -1
	if !next.IsZero() {
		timeout = int(max(0, time.Until(next)+time.Millisecond-1) / time.Millisecond)
	}
	s.poll(timeout)
}

// poll notes who has ended, and waits up to timeout milliseconds for one if
// nobody has; -1 is for ever.
func (s *stop) poll(timeout int) {
	var fds []unix.PollFd
	var ended []func()
	watch := func(fd int, f func()) {
		fds, ended = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}), append(ended, f)
	}
	for _, l := range s.lives {
		if !l.exited {
			watch(l.pidfd, func() { l.exited = true })
		}
		if l.commandfd >= 0 {
			watch(l.commandfd, func() {
				<-l.command.Exited() // it is being reaped
				l.closeCommand()
			})
		}
	}
	// EINTR is as good as an early look.
	_, _ = unix.Poll(fds, timeout)
	for i, fd := range fds {
		if fd.Revents != 0 {
			ended[i]()
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func after(d time.Duration) time.Time { return time.Now().Add(d) }
