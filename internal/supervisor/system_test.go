package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
)

// A fakeSystem plays an operating system whose processes do what the test
// tells them.
type fakeSystem struct {
	mu      sync.Mutex
	refuse  error // of every start
	started []*fakeProcess
}

func (f *fakeSystem) boot() (system, error) {
	return system{start: f.start, close: func() error { return nil }}, nil
}

func (f *fakeSystem) start(spec proc.Spec) (process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, f.refuse
	}
	p := &fakeProcess{pid: 1000 + len(f.started), spec: spec, exited: make(chan struct{}), gone: make(chan struct{})}
	f.started = append(f.started, p)
	return p, nil
}

func (f *fakeSystem) process(i int) *fakeProcess {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= len(f.started) {
		return nil
	}
	return f.started[i]
}

type fakeProcess struct {
	pid          int
	spec         proc.Spec
	exited, gone chan struct{}
	mu           sync.Mutex
	exit         proc.Exit
	signals      []string
}

func (p *fakeProcess) Pid() int                { return p.pid }
func (p *fakeProcess) Exited() <-chan struct{} { return p.exited }
func (p *fakeProcess) Gone() <-chan struct{}   { return p.gone }

func (p *fakeProcess) Exit() proc.Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

func (p *fakeProcess) Signal(s syscall.Signal) error      { return p.got("leader", s) }
func (p *fakeProcess) SignalGroup(s syscall.Signal) error { return p.got("group", s) }

func (p *fakeProcess) got(who string, s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signals = append(p.signals, fmt.Sprintf("%s %d", who, s))
	return nil
}

func (p *fakeProcess) heard(signal string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.signals, signal)
}

// end ends the leader, and the whole group if nobody is left behind.
func (p *fakeProcess) end(e proc.Exit, alone bool) {
	p.mu.Lock()
	p.exit = e
	p.mu.Unlock()
	close(p.exited)
	if alone {
		close(p.gone)
	}
}

func runOn(t *testing.T, f *fakeSystem, p Program) *stage {
	return runWith(t, Config{Name: "test", Programs: []Program{p}}, f.boot)
}

func TestProcessThatCannotStart(t *testing.T) {
	f := &fakeSystem{refuse: errors.New("no more processes")}
	r := runOn(t, f, program("web", 2, "sleep")).ended()
	if r.Code != exitNotUp || r.Err == nil {
		t.Errorf("report %+v", r)
	}
	if want := "no more processes"; !errorSays(r.Err, want) {
		t.Errorf("%v does not say %q", r.Err, want)
	}
}

func TestGroupOutlivesItsLeader(t *testing.T) {
	f := &fakeSystem{}
	p := program("web", 1, "sleep")
	p.MinUptime, p.StopTimeout = time.Millisecond, 50*time.Millisecond
	s := runOn(t, f, p)
	s.logged("msg=ready\n")
	first := f.process(0)
	first.end(proc.Exit{Code: 1}, false)
	s.until("the group gets the stop signal", func() bool { return first.heard("group 15") })
	if first.heard("leader 15") {
		t.Error("the stop signal went to a leader that has ended")
	}
	s.until("the group is killed when it does not end", func() bool { return first.heard("group 9") })
	if f.process(1) != nil {
		t.Error("the slot has a new life though the group lives")
	}
	close(first.gone)
	s.until("the slot has a new life", func() bool { return f.process(1) != nil })
	s.logged("life=2")
	verdict := make(chan control.Verdict, 1)
	go func() {
		verdict <- s.Do(context.Background(), control.Request{Verb: "stop"}, func([]control.Progress) {})
	}()
	second := f.process(1)
	s.until("it gets its stop signal", func() bool { return second.heard("leader 15") && second.heard("group 18") })
	second.end(proc.Exit{}, true)
	if v := <-verdict; v.Code != control.Done {
		t.Errorf("stop: %+v", v)
	}
	if r := s.ended(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}
