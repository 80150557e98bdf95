package pool

import (
	"fmt"
	"testing"
	"time"
)

// A crowd is a pool of n workers that are up, as the benchmarks below use it.
func newCrowd(b *testing.B, n int) (*Pool, time.Time) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	p := New([]Program{{
		Name: "web", Workers: n, Listeners: []string{"web"}, MaxSurge: 1, StopSignal: 15,
		ReadyTimeout: time.Minute, DrainTimeout: time.Minute, Watchdog: time.Hour, MaxAge: time.Hour,
	}}, 1)
	for _, a := range p.Step(now, Begin{}) {
		if s, ok := a.(Spawn); ok {
			p.Step(now, Ready{s.ID})
		}
	}
	if p.Phase() != Running {
		b.Fatal(p.Phase())
	}
	return p, now
}

// BenchmarkStep is what one event costs that nothing follows from, and the
// question for the next deadline that the shell asks after it.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, now := newCrowd(b, n)
			b.ReportAllocs()
			for b.Loop() {
				p.Step(now, Alive{ID{"web", n / 2, n/2 + 1}})
				p.Deadline()
			}
		})
	}
}

// BenchmarkRoll is what a roll costs for each worker.
func BenchmarkRoll(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				p, now := newCrowd(b, n)
				b.StartTimer()
				events := []Event{Restart{Token: 1, Slot: -1}}
				for len(events) > 0 {
					e := events[0]
					events = events[1:]
					for _, a := range p.Step(now, e) {
						switch a := a.(type) {
						case Spawn:
							events = append(events, Hello{ID: a.ID}, Ready{a.ID})
						case Ask:
							events = append(events, Drained{ID: a.ID}, Gone{ID: a.ID})
						case Signal:
							events = append(events, Gone{ID: a.ID})
						}
					}
					p.Deadline()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/worker")
		})
	}
}
