package proc

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// A signal at any moment after Start is not lost, whatever runs by then.
func TestTermAfterStart(t *testing.T) {
	c := newChildren(t)
	const rounds = 100
	s := Spec{Path: "/bin/sh", Args: []string{"sh", "-c", "echo; exec sleep 600"}}
	s.Before = func(*Process) {} // without it nobody sends again what the exec of the shim has lost
	begin := time.Now()
	_, out := lines(t, c, s)
	line(t, out)
	span := time.Since(begin) // from Start to the program, about
	for i := range rounds {
		p := start(t, c, s)
		for begin := time.Now(); time.Since(begin) < span*time.Duration(i)/rounds; {
			runtime.Gosched() // a timer is too coarse for this
		}
		// What is sent again may come first.
		if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		wait(t, "gone", p.Gone())
		if want := (Exit{Signal: syscall.SIGTERM}); p.Exit() != want {
			t.Fatalf("round %d: %v, want %v", i, p.Exit(), want)
		}
	}
}

func TestDeaf(t *testing.T) {
	c := newChildren(t)
	in, hold := pipe(t)
	s := role(t, "deaf")
	s.Stdin = in
	p, out := lines(t, c, s)
	if got := line(t, out); got != "ready" {
		t.Fatal(got)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, "gone", p.Gone())
	if want := (Exit{Signal: syscall.SIGKILL}); p.Exit() != want {
		t.Errorf("%v, want %v", p.Exit(), want)
	}
	for range 3 {
		if err := p.Signal(syscall.SIGTERM); err != os.ErrProcessDone {
			t.Errorf("signal after the end: %v", err)
		}
		if err := p.SignalGroup(syscall.SIGTERM); err != os.ErrProcessDone {
			t.Errorf("signal to the group after the end: %v", err)
		}
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBadSignal(t *testing.T) {
	c := newChildren(t)
	p := start(t, c, shell("sleep 600"))
	for name, send := range map[string]func(syscall.Signal) error{"Signal": p.Signal, "SignalGroup": p.SignalGroup} {
		if err := send(1000); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %v", name, err)
		}
		if err := send(0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLeaderDiesBeforeItsChild(t *testing.T) {
	c := newChildren(t)
	p, out := lines(t, c, shell("sleep 600 & echo $!; exit 3"))
	line(t, out)
	wait(t, "exited", p.Exited())
	if want := (Exit{Code: 3}); p.Exit() != want {
		t.Errorf("%v, want %v", p.Exit(), want)
	}
	if err := p.Signal(syscall.SIGKILL); err != os.ErrProcessDone {
		t.Errorf("signal to the dead leader: %v", err)
	}
	if isClosed(p.Gone()) {
		t.Fatal("gone, but a child lives")
	}
	if err := p.SignalGroup(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, "gone", p.Gone())
	if want := (Exit{Code: 3}); p.Exit() != want {
		t.Errorf("%v, want %v", p.Exit(), want)
	}
}

func TestSignalIsForTheLeaderOnly(t *testing.T) {
	c := newChildren(t)
	p, out := lines(t, c, shell("trap 'echo leader; kill -TERM $p; wait $p; echo $?; exit' USR1; "+
		"sleep 600 & p=$!; echo ready; wait"))
	if got := line(t, out); got != "ready" {
		t.Fatal(got)
	}
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	wait(t, "gone", p.Gone())
	if got := line(t, out); got != "leader" {
		t.Errorf("leader: %q", got)
	}
	if got := line(t, out); got != "143" { // by TERM; not 138, by USR1
		t.Errorf("its child: %q", got)
	}
}

func TestSignalGroupReachesAll(t *testing.T) {
	c := newChildren(t)
	p, out := lines(t, c, shell("sleep 600 & (sleep 600 & sleep 600 & echo ready; wait) & wait"))
	if got := line(t, out); got != "ready" {
		t.Fatal(got)
	}
	if err := p.SignalGroup(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, "gone", p.Gone())
	if out.Scan() { // the end of the file: nobody holds the pipe
		t.Error(out.Text())
	}
	if out.Err() != nil {
		t.Error(out.Err())
	}
}

func TestTerminal(t *testing.T) {
	c := newChildren(t)
	s := shell("sleep 600")
	s.Terminal = true
	p := start(t, c, s)
	own := start(t, c, shell("sleep 600"))
	for _, test := range []struct {
		p    *Process
		want int
	}{{p, syscall.Getpgrp()}, {own, own.Pid()}} {
		if pgid, err := syscall.Getpgid(test.p.Pid()); err != nil || pgid != test.want {
			t.Errorf("group %d, %v; want %d", pgid, err, test.want)
		}
	}
	if err := p.SignalGroup(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, "gone", p.Gone())
	if err := p.SignalGroup(syscall.SIGKILL); err != os.ErrProcessDone {
		t.Errorf("signal after the end: %v", err)
	}
}
