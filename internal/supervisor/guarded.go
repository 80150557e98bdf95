package supervisor

import (
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/wire"
)

// rule is how the guard stops a life if the supervisor is killed: as the core
// would on a stop, but for the gates, which only a supervisor can ask.
func (l *life) rule() guard.Rule {
	p := l.program
	r := guard.Rule{
		Worker: l.id.Worker(), Program: p.Name, Needs: p.DependsOn,
		StopSignal: p.StopSignal, StopTimeout: p.StopTimeout, KillAfter: l.killAfter(p.DrainTimeout),
		CloseSignal: p.CloseSignal, CloseMoment: pool.CloseMoment, CloseTimeout: p.DrainTimeout,
	}
	for _, step := range p.StopSteps {
		r.StopSteps = append(r.StopSteps, guard.Step{After: step.After, Signal: step.Signal})
	}
	// It cannot fail: the message is a few numbers. If it did, the signal
	// would ask the worker.
	r.Drain, _ = wire.Encode(p.drain(pool.Ask{Reason: pool.ForStop, Timeout: p.DrainTimeout}))
	if len(p.StopCommand) > 0 {
		vars := l.variables()
		r.StopCommand = &guard.Command{
			Args: expandAll(vars, p.StopCommand), Env: given(p, l.commandEnv(), vars), Dir: p.Dir, User: p.User,
		}
	}
	return r
}

// commandRule is the same for the stop command of a life. The guard runs its
// own, so one that runs already is killed, and nothing waits for it.
func (l *life) commandRule() guard.Rule {
	return guard.Rule{Worker: l.id.Worker() + " stop command", StopSignal: syscall.SIGKILL}
}

// turn tells the guard how far a life has come on its way out, by what the core
// says of it. To what it has until its cut is added what it then needs to end by
// itself, as by the core.
func (l *life) turn(v pool.LifeView) {
	switch {
	case v.State == pool.LifeCutting:
		l.guarded.Turned(guard.Turn{Kill: v.Deadline})
	case v.State != pool.LifeDraining:
	case v.Told:
		l.guarded.Turned(guard.Turn{Kill: v.Deadline.Add(l.killAfter(0)), Sent: v.Sent, Next: v.Escalate})
	case v.Closing:
		l.guarded.Turned(guard.Turn{Closing: v.Deadline})
	}
}

func (l *life) killAfter(timeout time.Duration) time.Duration {
	return timeout + l.program.unwind() + pool.KillMargin
}

// channelConn is the descriptor of the life's channel, nil if it has none.
func (l *life) channelConn() syscall.RawConn {
	if l.channel == nil {
		return nil
	}
	conn, err := l.channel.SyscallConn()
	if err != nil {
		return nil // it is closed
	}
	return conn
}

// coreSteps are the program's StopSteps as the core has them.
func (p *Program) coreSteps() []pool.StopStep {
	var out []pool.StopStep
	for _, step := range p.StopSteps {
		out = append(out, pool.StopStep{After: step.After, Signal: int(step.Signal)})
	}
	return out
}
