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

// askedFor tells the guard that a life has been asked, and has this long until
// its cut. What it then needs to end by itself is added, as by the core.
func (l *life) askedFor(timeout time.Duration) { l.guarded.Asked(l.killAfter(timeout)) }

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
