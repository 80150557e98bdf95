package supervisor

import (
	"context"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
)

// askGate asks the gates of a life's program, one after the other, until each
// has said go or the asking is ended. A gate that fails or hangs has not said
// go; the deadline is the core's.
func (s *Supervisor) askGate(l *life) {
	ctx, cancel := context.WithCancel(l.ctx)
	l.gate = cancel
	vars := l.variables()
	go func() {
		defer cancel()
		for _, spec := range l.program.Gates {
			if !s.passGate(ctx, l, spec.Expand(vars)) {
				return
			}
		}
		s.post(pool.GateOpen{ID: l.id})
	}()
}

// passGate waits for one gate and tells whether it said go.
func (s *Supervisor) passGate(ctx context.Context, l *life, spec gate.Spec) bool {
	report := func(waiting string) {
		s.call(ctx, func() {
			if l.gate != nil {
				l.waiting = waiting
				s.log.Info("gate", "worker", l.id.Worker(), "life", l.id.Life, "waiting_for", waiting)
			}
		})
	}
	question, err := s.open(spec)
	if err != nil {
		report(err.Error())
		<-ctx.Done()
		return false
	}
	defer question.Close()
	every := spec.Every
	if every == 0 {
		every = time.Second
	}
	return gate.Wait(ctx, question, every, spec.Timeout, report) == nil
}

// runStopCommand runs a program's stop command for a life. If it cannot be
// run, or fails while the life is still there, the core goes on to the stop
// signal. It ends with the life at the latest: endCommand sees to it.
func (s *Supervisor) runStopCommand(l *life) {
	if len(l.program.StopCommand) == 0 {
		// The core speaks of the program as it is now; this life is of a
		// generation that had none.
		s.queue = append(s.queue, pool.CommandFailed{ID: l.id})
		return
	}
	env, vars := l.commandEnv(), l.variables()
	command := expandAll(vars, l.program.StopCommand)
	path, err := exec.LookPath(command[0])
	if err != nil {
		s.commandFailed(l, err)
		return
	}
	said, out, err := s.openStream(s.options.Stderr)
	if err != nil {
		s.commandFailed(l, err)
		return
	}
	s.follow(l, said)
	defer out.Close()
	p, err := s.system.start(proc.Spec{
		Path: path, Args: command, Dir: l.program.Dir, User: l.program.User,
		Env: environment(l.program, env, vars), Stdout: out, Stderr: out,
		Before: func(p *proc.Process) { l.guardedCommand = s.guard.Add(l.commandRule(), p, nil) },
	})
	if err != nil {
		s.commandFailed(l, err)
		return
	}
	l.command = p
	go func() {
		select {
		case <-p.Exited():
			if e := p.Exit(); e != (proc.Exit{}) {
				s.log.Warn("stop command", "worker", l.id.Worker(), "ended", e.String())
				s.post(pool.CommandFailed{ID: l.id})
				return
			}
			s.call(l.ctx, func() {}) // somebody may have waited for it
		case <-l.ctx.Done():
		}
	}()
}

// endCommand kills what is left of the stop command of a life that is over:
// most often nothing, or a client that the server's end has made end too.
func (s *Supervisor) endCommand(l *life) {
	s.killed = slices.DeleteFunc(s.killed, isGone)
	if l.command == nil || isGone(l.command) {
		return
	}
	_ = l.command.SignalGroup(syscall.SIGKILL) // it may have ended meanwhile
	s.killed = append(s.killed, l.command)
}

// awaitCommands waits until the stop commands that were killed are gone: nobody
// else does, and what is killed is there for another moment. One that the
// kernel does not let go is left.
func (s *Supervisor) awaitCommands() {
	moment := time.NewTimer(time.Second)
	defer moment.Stop()
	for _, p := range s.killed {
		select {
		case <-p.Gone():
		case <-moment.C:
			moment.Reset(0) // for the others too
			s.log.Error("a stop command cannot be ended", "pid", p.Pid())
		}
	}
}

func isGone(p process) bool {
	select {
	case <-p.Gone():
		return true
	default:
		return false
	}
}

// commandEnv is what a stop command is told: which life it is for. It gets none
// of its descriptors.
func (l *life) commandEnv() wire.Env {
	env := l.env
	env.Listeners, env.Channel, env.Notify = nil, 0, ""
	return env
}

func (s *Supervisor) commandFailed(l *life, err error) {
	s.log.Warn("stop command", "worker", l.id.Worker(), "err", err)
	s.queue = append(s.queue, pool.CommandFailed{ID: l.id})
}
