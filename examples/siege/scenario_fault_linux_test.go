package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// killed sends KILL to a worker, as the system does that has no memory left.
func (s *stage) killed(w worker) {
	s.t.Helper()
	if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
		s.t.Fatalf("KILL to %s: %v", w.Worker, err)
	}
}

// A posted job is one in progress.
type posted struct {
	name   string
	answer <-chan answer
}

// everyWorkerBusy posts jobs until each of two workers has one, and returns
// them by worker.
func (s *stage) everyWorkerBusy() map[string][]posted {
	s.t.Helper()
	busy := make(map[string][]posted)
	for _, name := range strings.Split("abcdefghijklmnopqrst", "") {
		a := s.send("POST", "/work/"+name+"?steps=10&step=1") // the first outlasts the search for the last
		s.awaitPart(name, 0)
		owner, err := s.db().HGet(s.t.Context(), keyOwner, name).Result()
		if err != nil {
			s.t.Fatal(err)
		}
		slot, _, _ := strings.Cut(owner, ":")
		busy["web."+slot] = append(busy["web."+slot], posted{name, a})
		if len(busy) == 2 {
			return busy
		}
	}
	s.t.Fatal("one worker takes all the jobs")
	return nil
}

// A worker that is killed while it drains is reported, not replaced. The other
// one's jobs are finished, and the lock of the dead does not hold it.
func TestS4WorkerKilledWhileDraining(t *testing.T) {
	t.Parallel()
	eachProgram(t, workerKilledWhileDraining)
}

func workerKilledWhileDraining(t *testing.T, in program) {
	t.Parallel()
	for _, way := range in.ways() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := enter(t, setup{in: in, way: way, drain: "60s"})
			busy := s.everyWorkerBusy()
			s.signal(syscall.SIGTERM)
			s.awaitLog(entry{Msg: "draining", Worker: "web.0"})
			s.awaitLog(entry{Msg: "draining", Worker: "web.1"})
			s.killed(s.workers("web")[0])
			s.awaitLog(entry{Msg: "gone", Worker: "web.0", Reason: "was killed by signal 9 while draining"})
			for _, j := range busy["web.0"] {
				if got := <-j.answer; got.err == nil {
					t.Errorf("the job %s of the killed worker was answered %q", j.name, got.body)
				}
				// Half a set: nobody was left to undo it.
				if err := os.RemoveAll(s.file("siege_data", j.name+".part")); err != nil {
					t.Error(err)
				}
			}
			for _, j := range busy["web.1"] {
				s.done(j.name, j.answer)
			}
			cut := ""
			if in.python {
				cut = "lock " // it has told what it does before, so that what died with it is named
			}
			s.ends(6, cut)
			if n := s.starts("web.0"); n != 1 {
				t.Errorf("web.0 was started %d times", n)
			}
		})
	}
}

// starts counts the lives of a worker.
func (s *stage) starts(name string) int {
	s.t.Helper()
	n := 0
	for _, e := range s.log() {
		if e.Msg == "started" && e.Worker == name {
			n++
		}
	}
	return n
}

// The end of redis is seen, and redis is back before the stop. If it dies
// during the stop the gate cannot be asked: the limit is a limit.
func TestS10RedisKilled(t *testing.T) {
	t.Parallel()
	eachProgram(t, redisKilled)
}

func redisKilled(t *testing.T, in program) {
	t.Parallel()
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		s := enter(t, setup{in: in, drain: "60s"})
		old := s.workers("redis")[0]
		s.killed(old)
		s.awaitLog(entry{Msg: "gone", Worker: "redis.0", Reason: "was killed by signal 9"})
		eventually(t, "redis is back", func() bool {
			now := s.workers("redis")
			return now[0].State == "ready" && now[0].PID != old.PID
		})
		s.meet()
		a := s.job("a")
		s.signal(syscall.SIGTERM)
		got := s.done("a", a)
		s.ends(0, "")
		if took := s.endAt.Sub(got.at); took > endLimit {
			t.Errorf("it ended %v after the last answer", took)
		}
	})
	t.Run("during", func(t *testing.T) {
		t.Parallel()
		s := enter(t, setup{in: in})
		if err := s.db().ZAdd(t.Context(), "locks:web.1", redis.Z{Member: "s"}).Err(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s.signal(syscall.SIGTERM)
		s.awaitLog(entry{Msg: "waiting", Worker: "web.1"})
		s.killed(s.workers("redis")[0])
		s.awaitLog(entry{Msg: "gone", Worker: "redis.0"})
		s.redis = "" // so it cannot be the last to end
		s.ends(6, "")
		if took := s.endAt.Sub(began); took < 2*time.Second || took > endLimit {
			t.Errorf("it ended after %v, want the limit of 3s", took)
		}
		if _, ok := s.find(entry{Msg: "gone", Worker: "web.1", Reason: "gate was not open"}); !ok {
			t.Error("the log does not say that web.1 ended before its gate was open")
		}
		if n := s.starts("redis.0"); n != 1 {
			t.Errorf("redis was started %d times, once stopping", n)
		}
	})
}

// One slot has spent its restarts: that is reported, and the other serves on.
// When that has too, redis is stopped and the exit code says so.
func TestS13RestartsSpent(t *testing.T) {
	t.Parallel()
	eachProgram(t, restartsSpent)
}

func restartsSpent(t *testing.T, in program) {
	t.Parallel()
	s := enter(t, setup{in: in, keys: "max_restarts = 2"})
	s.spend(0)
	if w := s.workers("web"); w[0].State != "failed" || w[1].State != "ready" || w[1].Restarts != 0 {
		t.Errorf("with the restarts of one slot spent: %+v", w)
	}
	if _, ok := s.find(entry{Msg: "gave up restarting", Worker: "web.0"}); !ok {
		t.Error("the log does not say that web.0 has failed")
	}
	s.done("a", s.job("a"))
	s.spend(1)
	s.ends(4, "")
	if s.count("web has no worker left: web.1 was killed by signal 9") == 0 {
		t.Error("the reason is not said")
	}
}

// spend kills the worker of a slot until it is not restarted any more.
func (s *stage) spend(slot int) {
	s.t.Helper()
	for range 2 {
		old := s.workers("web")[slot]
		s.killed(old)
		eventually(s.t, "the slot has another worker", func() bool {
			now := s.workers("web")[slot]
			return now.State == "ready" && now.PID != old.PID
		})
		s.meet()
	}
	last := s.workers("web")[slot]
	s.killed(last)
	s.awaitLog(entry{Msg: "gave up restarting", Worker: last.Worker})
}
