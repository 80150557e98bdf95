package gate

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// execKind runs a command; exit status 0 is go, and otherwise the first line
// it wrote is what is waited for.
func execKind() Kind {
	return Kind{
		Name: "exec", Gate: true, Probe: true,
		Check: func(s Spec) error {
			if len(s.Args) == 0 || s.Args[0] == "" {
				return errors.New(`must be a command, as ["./check", "--quick"]`)
			}
			return nil
		},
		Open: func(s Spec) (Question, error) { return execQuestion{s.Args}, nil },
	}
}

// afterKill is how long output is still read once the command has ended or was
// killed; a process that left the group may hold the pipe for ever.
const afterKill = 100 * time.Millisecond

type execQuestion struct{ args []string }

// Ask runs the command in a process group of its own, so that what it started
// is killed with it when ctx ends. Its environment, directory and user are
// those of this process, its input is empty.
//
// On Linux the command does not outlive this process, however that ends: it gets
// a death signal. That belongs to the thread that forks, so this goroutine keeps
// its own until the command has ended. What the command itself has started is not
// reached; to that end a third process would have to know of each asking, twenty
// times a second where a probe is asked.
func (q execQuestion) Ask(ctx context.Context) (string, error) {
	var out head
	c := exec.CommandContext(ctx, q.args[0], q.args[1:]...)
	c.Stdout, c.Stderr = &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithUs(c.SysProcAttr)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = afterKill
	err := c.Run()
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return "", nil // the latter: it ended well, and left something behind that holds its output
	case ctx.Err() != nil:
		return "", fmt.Errorf("run %s: %w", q.args[0], ctx.Err())
	case !ended:
		return "", fmt.Errorf("run command: %w", err)
	case len(out.bytes) > 0:
		return oneLine(string(out.bytes)), nil
	}
	return fmt.Sprintf("%s: %v", q.args[0], exit), nil
}

func (execQuestion) Close() error { return nil }

// A head keeps the beginning of what is written to it and drops the rest.
type head struct{ bytes []byte }

func (h *head) Write(p []byte) (int, error) {
	const most = 4096
	h.bytes = append(h.bytes, p[:min(len(p), most-len(h.bytes))]...)
	return len(p), nil
}
