package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/wire"
)

// act carries out one action of the core. It does not wait for anything.
func (s *Supervisor) act(a pool.Action) {
	switch a := a.(type) {
	case pool.Spawn:
		s.spawn(a)
	case pool.Ask:
		s.ask(a)
	case pool.Introduce:
		s.introduce(a)
	case pool.AskGate:
		s.askGate(s.lives[a.ID])
	case pool.RunStopCommand:
		s.runStopCommand(s.lives[a.ID])
	case pool.Close:
		l := s.lives[a.ID]
		l.turn(s.core.Life(a.ID))
		s.log.Info("to take no newcomers", "worker", a.ID.Worker(), "life", a.ID.Life, "signal", unix.SignalName(l.program.CloseSignal))
		l.signal(l.program.CloseSignal)
		s.tell(l)
	case pool.Signal:
		s.signal(a)
	case pool.Lame:
		s.lame(s.lives[a.ID])
	case pool.Cut:
		s.send(s.lives[a.ID], wire.Message{Cut: &wire.CutOrder{}})
	case pool.Quit:
		s.lives[a.ID].endGate()
		s.send(s.lives[a.ID], wire.Message{Quit: &wire.Quit{}})
	case pool.Abort:
		s.lives[a.ID].signal(syscall.SIGABRT)
	case pool.Kill:
		l := s.lives[a.ID]
		l.endGate()
		l.guarded.Turned(guard.Turn{Kill: time.Now()})
		if l.process != nil {
			// What it has said is still being read, perhaps; then Gone comes late.
			l.missed = l.process.SignalGroup(syscall.SIGKILL) == os.ErrProcessDone
		}
	case pool.Quiesce:
		s.quiesce(s.listeners[a.Listener])
	case pool.CloseListener:
		s.closeListener(s.listeners[a.Listener])
	case pool.Reply:
		s.reply(a)
	case pool.Finish:
		s.finish(a.Verdict)
	default:
		s.record(a)
	}
}

// reply passes the core's answer on to the operator who waits for it. For a
// signal nobody does: the log says what is not done.
func (s *Supervisor) reply(a pool.Reply) {
	if a.Token == 0 {
		s.log.Warn("not done", "reason", a.Verdict.Text)
		s.judged(a.Verdict.Text)
		return
	}
	r := s.replies[a.Token]
	r.verdict <- s.verdict(a.Verdict, r.since)
	delete(s.replies, a.Token)
}

// ask tells a life over its channel to drain.
func (s *Supervisor) ask(a pool.Ask) {
	l := s.lives[a.ID]
	l.turn(s.core.Life(a.ID))
	s.send(l, l.program.drain(a))
}

// signal sends a life a stop signal. One that follows another signal is worth a
// line: for the first there is that of the state.
func (s *Supervisor) signal(a pool.Signal) {
	l := s.lives[a.ID]
	l.turn(s.core.Life(a.ID)) // after a shut gate its time is not the drain's
	l.endGate()
	sig := syscall.Signal(a.Signal)
	if sig != l.program.StopSignal || l.program.CloseSignal != 0 {
		s.log.Info("signalled", "worker", a.ID.Worker(), "life", a.ID.Life, "signal", unix.SignalName(sig))
	}
	l.signal(sig)
	s.tell(l)
}

// lame tells a life to serve on as a lame duck. One that cannot be told serves on
// as it is.
func (s *Supervisor) lame(l *life) {
	s.log.Info("lame duck: still serving, not ready any more", "worker", l.id.Worker(), "life", l.id.Life, "for", l.program.LameDuck)
	if err := l.channel.Send(wire.Message{Lame: &wire.Lame{Quiet: l.program.LameDuckQuiet}}); err != nil && !ended(err) {
		s.log.Warn("channel", "worker", l.id.Worker(), "life", l.id.Life, "err", err)
	}
}

// drain is the message that asks a life of the program to drain.
func (p *Program) drain(a pool.Ask) wire.Message {
	return wire.Message{Drain: &wire.Drain{
		Reason: string(a.Reason), Timeout: a.Timeout, Policy: p.Drain, Hold: a.Hold, Move: a.Move,
		UnwindTimeout: p.UnwindTimeout, FreshGrace: p.FreshGrace,
		ExpendableGrace: p.ExpendableGrace, StallTimeout: p.StallTimeout,
	}}
}

// send gives a life a message. One that cannot take it gets its stop signal:
// that means the same to it.
func (s *Supervisor) send(l *life, m wire.Message) {
	switch err := l.channel.Send(m); {
	case err == nil:
		_ = l.process.SignalGroup(syscall.SIGCONT) // a stopped process could not obey
		return
	case !ended(err):
		s.log.Warn("channel", "worker", l.id.Worker(), "life", l.id.Life, "err", err)
	}
	l.signal(l.program.StopSignal)
}

// ended reports whether an error of a channel says that the life has ended, or at
// least its Serve has. If that left words of ours unread the kernel says so once.
func ended(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// record writes what the core did to the log, one line an event.
func (s *Supervisor) record(a pool.Action) {
	switch a := a.(type) {
	case pool.Became:
		s.recordState(a)
	case pool.Backoff:
		s.log.Warn("restarting", "worker", worker(a.Program, a.Slot), "in", a.Delay.Round(time.Millisecond), "crashes", a.Crashes)
	case pool.GaveUp:
		s.log.Error("gave up restarting", "worker", worker(a.Program, a.Slot))
	case pool.Ended:
		s.log.Info("not restarting", "worker", worker(a.Program, a.Slot), "failed", a.Failed)
	case pool.PutOff:
		v := s.core.Life(a.ID)
		s.lives[a.ID].turn(v)
		s.log.Info("asks for more time", "worker", a.ID.Worker(), "life", a.ID.Life, "state", v.State, "left", time.Until(v.Deadline).Round(time.Millisecond))
	case pool.Recycling:
		s.log.Info("to be replaced", "worker", a.ID.Worker(), "life", a.ID.Life, "reason", a.Why)
	case pool.Removed:
		s.log.Info("removed", "program", a.Program)
		s.forget(a.Program)
		delete(s.tickets.Keys, a.Program)
	case pool.Up:
		s.log.Info("program ready", "program", a.Program)
	case pool.AllUp:
		s.log.Info("ready")
		s.trimSoon()
	case pool.Rolled:
		s.log.Info("rolled", "program", a.Program, "verdict", a.Verdict.Outcome, "reason", a.Verdict.Text)
		s.rolled(a)
		s.settle(a.Program, a.Generation)
		s.forget(a.Program)
		s.trimSoon()
	case pool.Ignored:
		s.log.Debug("ignored", "event", fmt.Sprintf("%T%+v", a.Event, a.Event))
	default:
		panic(fmt.Sprintf("supervisor: unknown action %T", a))
	}
}

func (s *Supervisor) recordState(a pool.Became) {
	l := s.lives[a.ID]
	args := []any{"worker", a.ID.Worker(), "life", a.ID.Life}
	if pid := l.pid(); pid != 0 {
		args = append(args, "pid", pid)
	}
	if a.Why != "" {
		args = append(args, "reason", a.Why)
	}
	if a.State == pool.LifeReady {
		args = append(args, "by", l.evidence())
	}
	level := slog.LevelInfo
	if a.State == pool.LifeCutting || a.State == pool.LifeStuck || a.State == pool.LifeGone && a.Why != "" {
		level = slog.LevelWarn
	}
	if a.State == pool.LifeGone {
		l.cutShort()
	}
	if a.State == pool.LifeGone && len(l.cut) > 0 {
		args = append(args, "cut", describe(l.cut))
	}
	if a.State == pool.LifeGone && l.moved > 0 {
		args = append(args, "moved", l.moved)
	}
	s.log.Log(context.Background(), level, string(a.State), args...)
	l.turn(s.core.Life(a.ID))
	l.state = a.State
	switch a.State {
	case pool.LifeCutting:
		l.late = !l.ready
	case pool.LifeDraining:
		if s.talk.IsZero() {
			s.talk = time.Now().Add(time.Second)
		}
	case pool.LifeReady:
		l.ready, l.lacks = true, ""
		close(l.settled)
	case pool.LifeGone:
		s.buried(l)
	}
}

// A grave is what is remembered of a life that did not end well, for the
// verdict it led to.
type grave struct {
	id   pool.ID
	when time.Time
	cut  []control.Operation
	last []string
	why  string // it was never ready; "": it was, or nobody knows
}

// maxGraves bounds how many are remembered: verdicts come soon after.
const maxGraves = 64

// buried lets go of what the supervisor had of a life.
func (s *Supervisor) buried(l *life) {
	delete(s.lives, l.id)
	s.endCommand(l)
	l.release()
	s.letGoUnheld()
	s.graves = append(s.graves, grave{id: l.id, when: time.Now(), cut: l.cut, last: l.tail.last(), why: s.neverReady(l)})
	s.graves = s.graves[max(0, len(s.graves)-maxGraves):]
}

// explained returns what a verdict says, and what is known of why its life was
// never ready.
func (s *Supervisor) explained(v pool.Verdict) string {
	for _, g := range s.graves {
		if g.id == v.Life && g.why != "" && v.Text != "" {
			return v.Text + "; " + g.why
		}
	}
	return v.Text
}

// lastLinesOf returns what a life said last, if it is remembered.
func (s *Supervisor) lastLinesOf(id pool.ID) []string {
	for _, g := range s.graves {
		if g.id == id {
			return g.last
		}
	}
	return nil
}

func (s *Supervisor) finish(v pool.Verdict) {
	r := Report{Code: exitCode(v.Outcome)}
	if v.Text != "" {
		text := s.explained(v)
		if last := s.lastLinesOf(v.Life); v.Outcome == pool.NeverUp && len(last) > 0 {
			text += "; its last lines:\n\t" + strings.Join(last, "\n\t")
		}
		r.Err = fmt.Errorf("%s", text)
	}
	s.report = &r
}

func exitCode(o pool.Outcome) int {
	switch o {
	case pool.Done:
		return exitDone
	case pool.WasCut:
		return exitCut
	case pool.Died:
		return exitDied
	case pool.GaveUpAll:
		return exitGaveUp
	case pool.NeverUp:
		return exitNotUp
	case pool.RolledBack, pool.NoSuch, pool.Refused:
	}
	return exitFailure
}

func worker(program string, slot int) string {
	return pool.ID{Program: program, Slot: slot}.Worker()
}
