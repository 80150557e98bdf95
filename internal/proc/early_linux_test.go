package proc

import (
	"syscall"
	"testing"
	"time"
)

// A signal that comes at any moment from the fork on ends the program, however
// soon: none is lost in the exec of the shim.
func TestNoSignalIsLostInTheExec(t *testing.T) {
	c := newChildren(t)
	const rounds, at = 60, 8
	for round := range rounds {
		var all []*Process
		for i := range at {
			p, err := c.Start(Spec{Path: "/bin/sleep", Args: []string{"sleep", "600"}, Before: func(*Process) {}})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
			late := time.NewTimer(time.Duration((round*at+i)*20%12000) * time.Microsecond)
			go func() {
				<-late.C
				_ = p.Signal(syscall.SIGTERM)
			}()
		}
		for _, p := range all {
			wait(t, "gone", p.Gone())
			if p.Exit().Signal != syscall.SIGTERM {
				t.Fatalf("it ended with %v", p.Exit())
			}
		}
	}
}

// What was sent before is sent again, and nothing after.
func TestSentAgainAfterTheExec(t *testing.T) {
	c := newChildren(t)
	s := shell("trap 'echo usr1' USR1; echo up; while :; do sleep 0.01; done")
	release := make(chan struct{})
	s.Before = func(p *Process) {
		p.sent(syscall.SIGUSR1) // as if the kernel had lost it
		p.sent(syscall.SIGUSR1)
		p.sent(syscall.SIGKILL)
		close(release)
	}
	// The shell would die of it before its trap: it comes at once after the exec.
	s.Args[2] = "trap '' USR1; " + s.Args[2]
	p, _ := lines(t, c, s)
	<-release
	eventually(t, "nothing is left to be sent", func() bool {
		p.earlyMu.Lock()
		defer p.earlyMu.Unlock()
		return p.execed && p.early == nil
	})
	wait(t, "gone", func() <-chan struct{} {
		p.sent(syscall.SIGUSR1)
		p.earlyMu.Lock()
		defer p.earlyMu.Unlock()
		if p.early != nil {
			t.Error("remembered though it was executed")
		}
		_ = p.SignalGroup(syscall.SIGKILL)
		return p.Gone()
	}())
}
