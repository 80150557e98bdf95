package supervisor

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
)

// commanded is a program with a stop command that comes up at once.
func commanded(command ...string) Program {
	p := program("web", 1, "sleep")
	p.MinUptime, p.StopCommand = time.Millisecond, command
	return p
}

// The stop command ends with the life it was run for, and the supervisor after
// it: nothing is left behind.
func TestStopCommandEndsWithTheLife(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, commanded("/bin/sh", "-c", "exit"))
		b.after(time.Second)
		b.asks(control.Request{Verb: "stop"})
		command := b.system.process(1)
		if command == nil {
			t.Fatal("there is no stop command")
		}
		b.after(time.Second)
		wantSignals(t, command)
		b.ends(0, proc.Exit{})
		wantSignals(t, command, "1s group 9")
		if len(b.report) != 0 {
			t.Error("the supervisor has ended before it")
		}
		b.ends(1, proc.Exit{Signal: syscall.SIGKILL})
		b.returned(exitDone)
	})
}

// One that fails, or cannot be run, is followed by the stop signal at once; one
// that does not end, when its time is over; one that has done its part, too.
func TestStopCommandIsFollowedByTheSignal(t *testing.T) {
	for _, c := range []struct {
		path string
		exit *proc.Exit // nil: it does not end
		want string
	}{
		{"/bin/sh", &proc.Exit{Code: 3}, "1.5s leader 15"},
		{"/bin/sh", &proc.Exit{}, "3s leader 15"},
		{"/bin/sh", nil, "3s leader 15"},
		{"/no/such/command", nil, "1s leader 15"},
	} {
		inBubble(t, func(t *testing.T) {
			b := runFake(t, commanded(c.path))
			b.after(time.Second)
			b.asks(control.Request{Verb: "stop"})
			b.after(500 * time.Millisecond)
			command := b.system.process(1)
			if c.exit != nil {
				command.end(*c.exit)
			}
			b.after(4 * time.Second)
			wantSignals(t, b.system.process(0), c.want)
			b.ends(0, proc.Exit{Signal: syscall.SIGTERM})
			if c.exit == nil && command != nil {
				b.ends(1, proc.Exit{Signal: syscall.SIGKILL})
			}
			b.returned(exitDone)
		})
	}
}

// A life and its stop command are told what is so when the life starts: the
// number of workers after a scale, and its own generation.
func TestEnvironmentAfterScale(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, commanded("/bin/sh", "{worker} {workers} {generation}"))
		b.after(time.Second)
		scaled := b.asks(control.Request{Verb: "scale", Target: "web", Workers: 2})
		b.after(time.Second)
		b.answered(scaled, control.Done)
		wantSpec(t, b.system.process(1).spec, "LASTCALL_WORKER=web.1", "LASTCALL_WORKERS=2", "LASTCALL_GENERATION=1")
		b.asks(control.Request{Verb: "stop"})
		wantSpec(t, b.system.process(2).spec, "web.0 1 1", "LASTCALL_WORKER=web.0", "LASTCALL_WORKERS=1", "LASTCALL_GENERATION=1")
		wantSpec(t, b.system.process(3).spec, "web.1 2 1", "LASTCALL_WORKER=web.1", "LASTCALL_WORKERS=2", "LASTCALL_GENERATION=1")
		for i := range 4 {
			b.ends(i, proc.Exit{})
		}
		b.returned(exitDone)
	})
}

// wantSpec wants words among the arguments and the environment of a process.
func wantSpec(t *testing.T, spec proc.Spec, want ...string) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(spec.Args, w) && !slices.Contains(spec.Env, w) {
			t.Errorf("%q has no %q; its environment is %q", spec.Args, w, spec.Env[max(0, len(spec.Env)-10):])
		}
	}
}
