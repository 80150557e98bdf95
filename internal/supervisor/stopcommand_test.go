package supervisor

import (
	"slices"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/proc"
)

// The stop command ends with the life it was run for: nothing is left behind.
func TestStopCommandEndsWithTheLife(t *testing.T) {
	f := &fakeSystem{}
	p := program("web", 1, "sleep")
	p.MinUptime = time.Millisecond
	p.StopCommand = []string{"/bin/sh", "-c", "exit"}
	s := runOn(t, f, p)
	s.logged("msg=ready\n")
	s.stopLater()
	s.until("the stop command runs", func() bool { return f.process(1) != nil })
	command := f.process(1)
	if command.heard("group 9") {
		t.Error("the stop command is killed while the life is there")
	}
	f.process(0).end(proc.Exit{}, true)
	if r := s.ended(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
	if !command.heard("group 9") {
		t.Error("Run has returned, and the stop command lives")
	}
}

// A life and its stop command are told what is so when the life starts: the
// number of workers after a scale, and its own generation.
func TestEnvironmentAfterScale(t *testing.T) {
	f := &fakeSystem{}
	p := program("web", 1, "sleep")
	p.MinUptime = time.Millisecond
	p.StopCommand = []string{"/bin/sh", "{worker} {workers} {generation}"}
	s := runOn(t, f, p)
	s.logged("msg=ready\n")
	s.do(control.Request{Verb: "scale", Target: "web", Workers: 2}, control.Done)
	wantSpec(t, f.process(1).spec, "LASTCALL_WORKER=web.1", "LASTCALL_WORKERS=2", "LASTCALL_GENERATION=1")
	s.stopLater()
	s.until("both are told", func() bool { return f.process(3) != nil })
	specs := []proc.Spec{f.process(2).spec, f.process(3).spec}
	slices.SortFunc(specs, func(a, b proc.Spec) int { return slices.Compare(a.Args, b.Args) })
	wantSpec(t, specs[0], "web.0 1 1", "LASTCALL_WORKER=web.0", "LASTCALL_WORKERS=1", "LASTCALL_GENERATION=1")
	wantSpec(t, specs[1], "web.1 2 1", "LASTCALL_WORKER=web.1", "LASTCALL_WORKERS=2", "LASTCALL_GENERATION=1")
	for i := range 2 {
		f.process(i).end(proc.Exit{}, true)
	}
	s.ended()
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
