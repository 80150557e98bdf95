package supervisor

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
)

// touch makes a file that a worker waits for.
func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// changed waits until exactly one worker is another and all are ready, and
// returns which.
func (s *stage) changed(before map[string]control.Worker) string {
	s.t.Helper()
	var which []string
	s.until("one worker is replaced", func() bool {
		which = nil
		for name, w := range s.workers() {
			if w.PID != before[name].PID {
				which = append(which, name)
			}
			if w.State != "ready" {
				return false
			}
		}
		return len(which) > 0 && s.dead(before[which[0]].PID)
	})
	if len(which) != 1 {
		s.t.Errorf("%v are replaced, want one", which)
	}
	return which[0]
}

func (s *stage) dead(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

// inOrder checks that the log has the texts, one after the other.
func (s *stage) inOrder(texts ...string) {
	s.t.Helper()
	rest := s.log.String()
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			s.t.Errorf("the log does not say %q, or not in this order", text)
		}
		rest = after
	}
}

// A worker that gives no sign of life any more is replaced: its successor comes
// first; then it gets ABRT, and, as it ignores even that, KILL.
func TestWatchdogReplacesTheSilent(t *testing.T) {
	file := t.TempDir() + "/sulk"
	p := program("web", 2, "sulk", file)
	p.Watchdog, p.StopTimeout = time.Second, 200*time.Millisecond
	s := run(t, Config{Name: "test", Programs: []Program{p}})
	s.logged("msg=ready\n")
	before := s.workers()
	touch(t, file)
	name := s.changed(before)
	life := func(n int) string { return fmt.Sprintf("worker=%s life=%d", name, n) }
	old, now := before[name].Life, s.workers()[name].Life
	s.logged("msg=gone " + life(old))
	s.inOrder(
		`msg="to be replaced" `+life(old)+` reason="watchdog: no sign of life for 1s"`,
		"msg=started "+life(now), "msg=ready "+life(now), "msg=cutting "+life(old), "msg=gone "+life(old),
	)
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// One that others depend on is ended at once, and started again in place.
func TestWatchdogOfAHelper(t *testing.T) {
	file := t.TempDir() + "/sulk"
	helper := program("redis", 1, "sulk", file)
	helper.Watchdog, helper.StopTimeout = time.Second, 200*time.Millisecond
	p := program("web", 1, "sleep")
	p.DependsOn = []string{"redis"}
	s := run(t, Config{Name: "test", Programs: []Program{helper, p}})
	s.logged("msg=ready\n")
	before := s.workers()
	touch(t, file)
	if name := s.changed(before); name != "redis.0" {
		t.Errorf("%s is replaced", name)
	}
	s.inOrder("msg=cutting worker=redis.0 life=1", "msg=gone worker=redis.0 life=1", "msg=started worker=redis.0 life=3")
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// A worker that has eaten too much is replaced, its sibling is not.
func TestMaxMemory(t *testing.T) {
	file := t.TempDir() + "/eat"
	p := program("web", 2, "eat", file)
	p.MaxMemory = 120 << 20
	s := run(t, Config{Name: "test", Programs: []Program{p}})
	s.logged("msg=ready\n")
	before := s.workers()
	s.lookAtMemory()
	if strings.Contains(s.log.String(), "to be replaced") {
		t.Error("a worker that has eaten nothing is replaced")
	}
	touch(t, file)
	s.until("it has eaten", func() bool {
		s.lookAtMemory()
		return strings.Contains(s.log.String(), "to be replaced")
	})
	name := s.changed(before)
	s.lookAtMemory()
	if n := strings.Count(s.log.String(), "to be replaced"); n != 1 {
		t.Errorf("%d are replaced, want one", n)
	}
	s.inOrder("worker="+name, "of 120 MiB")
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// Three workers of one age are replaced one after the other.
func TestMaxAgeNeverTwoAtOnce(t *testing.T) {
	p := program("web", 3, "sleep")
	p.MaxAge = 300 * time.Millisecond
	s := run(t, Config{Name: "test", Programs: []Program{p}})
	s.until("each has been replaced", func() bool {
		n := 0
		for _, w := range s.workers() {
			if w.Life > 3 {
				n++
			}
		}
		return n == 3
	})
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
	// A start is followed by the end of what it replaces before the next one.
	log, _, _ := strings.Cut(s.log.String(), "msg=signal")
	_, log, _ = strings.Cut(log, "msg=ready\n")
	coming := 0
	for line := range strings.Lines(log) {
		switch {
		case strings.Contains(line, "msg=started"):
			coming++
		case strings.Contains(line, "msg=gone"):
			coming--
		}
		if coming > 1 {
			t.Fatalf("two are replaced at once:\n%s", log)
		}
	}
}

// A hundred reloads, some of which fail or move the socket, leave no
// descriptor and no goroutine behind: generations are forgotten.
func TestReloadsLeaveNothing(t *testing.T) {
	l := web(t)
	p := program("web", 1, "plain")
	p.Listen = []string{"web"}
	next := Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}}
	s := runLoading(t, next, func() (Config, error) { return next, nil })
	s.logged("msg=ready\n")
	var files, goroutines int
	for i := range 60 {
		want := control.Done
		p.Env, p.Command = []string{fmt.Sprintf("ROUND=%d", i)}, program("web", 1, "plain").Command
		switch {
		case i%6 == 5:
			p.Command, want = program("web", 1, "exit", "7").Command, control.RolledBack
		case i%6 == 3:
			next.Listeners = []Listener{web(t)}
		}
		next.Programs = []Program{p}
		s.do(control.Request{Verb: "reload"}, want)
		if i%6 == 2 {
			s.do(control.Request{Verb: "rollback"}, control.Done)
		}
		if i == 11 {
			files, goroutines = openFiles(t), runtime.NumGoroutine()
		}
	}
	addr := next.Listeners[0].Address.Address
	if got := s.get(addr, "/"); !strings.HasPrefix(got, "0 ") {
		t.Errorf("GET / = %q", got)
	}
	s.until("no more descriptors are open than after twelve reloads", func() bool { return openFiles(t) <= files })
	s.until("no more goroutines run", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	s.call(context.Background(), func() {
		if n := len(s.versions["web"]); n > 4 {
			t.Errorf("%d generations are kept", n)
		}
		if n := len(s.listeners); n > 3 {
			t.Errorf("%d listeners are kept, all but one of them closed", n)
		}
	})
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("there is no /proc")
	}
	return len(list)
}
