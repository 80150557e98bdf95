package supervisor

import (
	"runtime"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
)

// A long life of rolls leaves the supervisor as it was: descriptors,
// goroutines and memory.
func TestRollsLeaveNothing(t *testing.T) {
	const rolls, early = 200, 40
	p := program("web", 4)
	p.Command, p.Path, p.MinUptime, p.MaxSurge = []string{"sleep", "600"}, "/bin/sleep", time.Millisecond, 4
	s := run(t, Config{Name: "test", Programs: []Program{p}})
	s.logged("msg=ready\n")
	var files, goroutines, heap int
	for i := range rolls {
		s.do(control.Request{Verb: "restart", Target: "web"}, control.Done)
		if i == early {
			s.until("only four lives are left", func() bool { return len(s.workers()) == 4 })
			files, goroutines, heap = openFiles(t), runtime.NumGoroutine(), s.heap()
		}
	}
	s.until("no more descriptors are open than early on", func() bool { return openFiles(t) <= files })
	s.until("no more goroutines run", func() bool { return runtime.NumGoroutine() <= goroutines })
	// A life that is kept costs some kilobytes: 640 of them would be seen.
	if now := s.heap(); now > heap+512<<10 {
		t.Errorf("after %d rolls the heap has %d KiB, after %d it had %d", rolls, now>>10, early, heap>>10)
	}
	for name, w := range s.workers() {
		if w.State != "ready" || w.Generation != rolls+1 {
			t.Errorf("%s: %+v", name, w)
		}
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// heap returns the bytes in use, less those of what the test itself records.
func (s *stage) heap() int {
	runtime.GC()
	runtime.GC() // what has finalizers takes two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	recorded := 0
	for _, b := range []*lockedBuffer{s.log, s.out} {
		b.mu.Lock()
		recorded += b.b.Cap()
		b.mu.Unlock()
	}
	return int(m.HeapAlloc) - recorded
}
