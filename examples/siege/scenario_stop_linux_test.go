package main

import (
	"context"
	"fmt"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lastcall/lastcall/examples/siege/load"
)

// TERM to the supervisor alone: the job in progress is finished and answered,
// whichever of the three ways protects it, and then nothing is waited for.
func TestS1TermToTheParent(t *testing.T) {
	t.Parallel()
	eachProgram(t, termToTheParent)
}

func termToTheParent(t *testing.T, in program) {
	t.Parallel()
	for _, way := range in.ways() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			drain := "60s"
			if way == wayClass {
				drain = "3s"
			}
			s := enter(t, setup{in: in, way: way, drain: drain})
			a := s.job("a")
			s.signal(syscall.SIGTERM)
			got := s.done("a", a)
			s.ends(0, "")
			if took := s.endAt.Sub(got.at); took > endLimit {
				t.Errorf("it ended %v after the last answer", took)
			}
		})
	}
}

// Ctrl-C reaches the supervisor's whole process group, and has the same effect.
func TestS2InterruptToTheGroup(t *testing.T) {
	t.Parallel()
	eachProgram(t, interruptToTheGroup)
}

func interruptToTheGroup(t *testing.T, in program) {
	t.Parallel()
	s := enter(t, setup{in: in})
	a := s.job("a")
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.awaitLog(entry{Msg: "draining", Worker: "web."})
	if err := s.db().Ping(t.Context()).Err(); err != nil {
		t.Errorf("redis does not answer any more while workers drain: %v", err)
	}
	s.done("a", a)
	s.ends(0, "")
	if n := s.count("Received SIGINT"); n > 0 { // redis-server says so
		t.Error("Ctrl-C has reached redis")
	}
	if _, err := exec.LookPath("redis-server"); err == nil && s.count("User requested shutdown") != 1 {
		t.Error("redis was not asked to end by its own command")
	}
}

// A client that keeps its connection and posts jobs without a pause gets the
// answer to the one in progress, is told by it to go, and finds nobody.
func TestS3KeptAliveClient(t *testing.T) {
	t.Parallel()
	eachProgram(t, keptAliveClient)
}

func keptAliveClient(t *testing.T, in program) {
	t.Parallel()
	s := enter(t, setup{in: in})
	c := &load.Conn{Addr: s.addr, Keep: true, Timeout: endLimit}
	var finished atomic.Int64
	ended := make(chan error, 1)
	go func() {
		defer c.Close()
		var err error
		for i := 0; err == nil && i < 100; i++ {
			if _, err = c.Do("POST", fmt.Sprintf("/work/j%d?steps=3&step=0.2", i)); err == nil {
				finished.Add(1)
			}
		}
		ended <- err
	}()
	eventually(t, "some jobs are done", func() bool { return finished.Load() >= 2 })
	s.signal(syscall.SIGTERM)
	s.awaitLog(entry{Msg: "draining", Worker: "web."})
	before := finished.Load()
	if err := <-ended; !isRefused(err) || c.Dialled != 1 {
		t.Errorf("the client ended with %v after %d connections, want one, and refused then", err, c.Dialled)
	}
	s.ends(0, "")
	// One was in progress, and one may have come while the worker was told.
	n := finished.Load()
	if n > before+2 {
		t.Errorf("%d more jobs were done after the last call", n-before)
	}
	for i := range n + 1 {
		want := 3
		if i == n {
			want = -1
		}
		if got := parts(t, s.dir, "siege_data", fmt.Sprintf("j%d", i)); got != want {
			t.Errorf("job %d of %d has %d parts, want %d", i, n, got, want)
		}
	}
}

// A lock that is never given back holds the worker to the deadline, and not
// longer. The log and the exit code say that it was cut.
func TestS5LockNeverReleased(t *testing.T) {
	t.Parallel()
	eachProgram(t, lockNeverReleased)
}

func lockNeverReleased(t *testing.T, in program) {
	t.Parallel()
	t.Run("operation", func(t *testing.T) {
		t.Parallel()
		s := enter(t, setup{in: in, keys: unhurried})
		a := s.send("POST", "/stuck/s")
		s.awaitWork("POST /stuck/", "", 1)
		s.cutAtDeadline("POST /stuck/")
		if got := <-a; got.err == nil || got.at.Sub(s.endAt) > time.Second {
			t.Errorf("the client of the stuck handler got %q, %v, %v after the end", got.body, got.err, got.at.Sub(s.endAt))
		}
	})
	t.Run("job", func(t *testing.T) { // half a set is worth nothing: it is undone
		t.Parallel()
		s := enter(t, setup{in: in, keys: unhurried})
		a := s.send("POST", "/work/a?steps=100&step=0.2")
		s.awaitPart("a", 0)
		s.cutAtDeadline("POST /work/")
		if got := <-a; got.err == nil {
			t.Errorf("the job that was cut was answered %q", got.body)
		}
		if n := parts(t, s.dir, "siege_data", "a"); n != -1 {
			t.Errorf("the job that was cut has left %d parts", n)
		}
	})
	t.Run("gate", func(t *testing.T) { // the lock of somebody unseen
		t.Parallel()
		s := enter(t, setup{in: in, keys: unhurried})
		if err := s.db().ZAdd(t.Context(), "locks:web.1", redis.Z{Member: "s"}).Err(); err != nil {
			t.Fatal(err)
		}
		s.cutAtDeadline("")
		if _, ok := s.find(entry{Msg: "gone", Worker: "web.1", Reason: "gate was not open"}); !ok {
			t.Error("the log does not say that web.1 ended before its gate was open")
		}
		if s.count(`"waiting_for":"locks:web.1: s`) == 0 {
			t.Error("the log does not name the lock")
		}
	})
}

// unhurried gives what was cut as long to undo its work and to end as any
// machine takes: how short that may be is not what a scenario asks.
const unhurried = `unwind_timeout = "20s"`

// cutAtDeadline stops a stage whose worker will not end by itself.
func (s *stage) cutAtDeadline(cut string) {
	s.t.Helper()
	began := time.Now()
	s.signal(syscall.SIGTERM)
	s.ends(5, cut)
	if took := s.endAt.Sub(began); took < 3*time.Second {
		s.t.Errorf("it was cut after %v, before the deadline of 3s", took)
	}
}

// A second TERM, and any more, change nothing: they hurry nothing and put off
// nothing. The second INT says what is waited for, the third cuts it.
func TestS6SecondTerm(t *testing.T) {
	t.Parallel()
	eachProgram(t, secondTerm)
}

func secondTerm(t *testing.T, in program) {
	t.Parallel()
	t.Run("job", func(t *testing.T) {
		t.Parallel()
		s := enter(t, setup{in: in})
		a := s.job("a")
		s.storm()
		s.done("a", a)
		s.ends(0, "")
	})
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		s := enter(t, setup{in: in, keys: unhurried})
		s.send("POST", "/stuck/s")
		s.awaitWork("POST /stuck/", "", 1)
		began := time.Now()
		s.storm() // each would begin another three seconds
		s.ends(5, "POST /stuck/")
		if took := s.endAt.Sub(began); took < 3*time.Second {
			t.Errorf("it was cut after %v, before the deadline of 3s", took)
		}
	})
	t.Run("INT", func(t *testing.T) {
		t.Parallel()
		s := enter(t, setup{in: in, drain: "60s"})
		s.send("POST", "/stuck/s")
		s.awaitWork("POST /stuck/", "", 1)
		s.signal(syscall.SIGINT)
		s.awaitLog(entry{Msg: "draining", Worker: "web."})
		s.signal(syscall.SIGINT)
		s.awaitLog(entry{Msg: "still draining; interrupt again to cut what is in progress"})
		s.awaitLog(entry{Msg: "waiting", Worker: "web.", For: "POST /stuck/"})
		if s.over() {
			t.Error("the second interrupt has ended it")
		}
		cut := time.Now()
		s.signal(syscall.SIGINT)
		code := 5
		if in.python {
			code = 6 // it is told by a signal, and there is none for "now": it is killed
		}
		s.ends(code, "POST /stuck/")
		if took := s.endAt.Sub(cut); took > endLimit {
			t.Errorf("it ended %v after the third interrupt", took)
		}
	})
}

// storm sends TERM again and again, until the supervisor has ended.
func (s *stage) storm() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), endLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-tick.C:
		case <-s.ended:
			s.t.Logf("%d times TERM", n+1)
			return
		case <-ctx.Done():
			s.t.Fatalf("still there after %d times TERM", n+1)
		}
	}
}

// Clients that come during the drain are refused at once: none is left in a
// queue that nobody will look at any more.
func TestS7NewClientDuringDrain(t *testing.T) {
	t.Parallel()
	eachProgram(t, newClientDuringDrain)
}

func newClientDuringDrain(t *testing.T, in program) {
	t.Parallel()
	s := enter(t, setup{in: in})
	a := s.job("a")
	s.signal(syscall.SIGTERM)
	s.awaitLog(entry{Msg: "closed", Listener: "web"})
	for range 50 {
		began := time.Now()
		c := &load.Conn{Addr: s.addr, Timeout: endLimit}
		_, err := c.Do("GET", "/")
		c.Close()
		if took := time.Since(began); !isRefused(err) || took > time.Second {
			t.Errorf("a new client got %v after %v, want to be refused at once", err, took)
		}
	}
	if n := parts(t, s.dir, "siege_data", "a.part"); n < 0 {
		t.Error("the clients came after the drain, not during it")
	}
	s.done("a", a)
	s.ends(0, "")
}

// Nobody waits for a download that may be cut. With a grace it may end by
// itself.
func TestS8ExpendableDownload(t *testing.T) {
	t.Parallel()
	eachProgram(t, expendableDownload)
}

func expendableDownload(t *testing.T, in program) {
	t.Parallel()
	t.Run("cut", func(t *testing.T) {
		t.Parallel()
		s := enter(t, setup{in: in, drain: "60s"})
		a := s.send("GET", "/big?chunks=2000") // 100 s
		s.awaitWork("GET /big", "", 1)
		began := time.Now()
		s.signal(syscall.SIGTERM)
		s.ends(0, "")
		if took := s.endAt.Sub(began); took > endLimit {
			t.Errorf("it took %v", took)
		}
		if got := <-a; got.err == nil || isRefused(got.err) {
			t.Errorf("the download ended with %v, want it cut in the middle", got.err)
		}
		if s.count("cut expendable operations") != 1 {
			t.Error("the log does not say that it was cut")
		}
	})
	t.Run("grace", func(t *testing.T) {
		t.Parallel()
		s := enter(t, setup{in: in, drain: "60s", keys: `expendable_grace = "50s"`})
		a := s.send("GET", "/big?chunks=20")
		s.awaitWork("GET /big", "", 1)
		s.signal(syscall.SIGTERM)
		if got := <-a; got.err != nil || len(got.body) != 20*16384 {
			t.Errorf("the download ended with %d bytes, %v", len(got.body), got.err)
		}
		s.ends(0, "")
	})
}

// A worker that dies before the drain is replaced in its slot, and the drain
// is as clean as if it had not.
func TestS11CrashBeforeTheDrain(t *testing.T) {
	t.Parallel()
	eachProgram(t, crashBeforeTheDrain)
}

func crashBeforeTheDrain(t *testing.T, in program) {
	t.Parallel()
	s := enter(t, setup{in: in})
	before := s.workers("web")
	if got := <-s.send("POST", "/crash/3"); got.err == nil {
		t.Errorf("the crash was answered %q", got.body)
	}
	var after []worker
	eventually(t, "the dead worker is replaced", func() bool {
		after = s.workers("web")
		return len(after) == 2 && after[0].Restarts+after[1].Restarts == 1 &&
			after[0].State == "ready" && after[1].State == "ready"
	})
	s.meet()
	for i := range after {
		b, a := before[i], after[i]
		if a.Worker != b.Worker || (a.Restarts == 1) == (a.PID == b.PID) || (a.Restarts == 1) == (a.Life == b.Life) {
			t.Errorf("slot %d: %+v became %+v", i, b, a)
		}
	}
	if _, ok := s.find(entry{Msg: "gone", Worker: "web.", Reason: "exited with status 3"}); !ok {
		t.Error("the log does not name the exit code of the dead worker")
	}
	a := s.job("a")
	s.signal(syscall.SIGTERM)
	s.done("a", a)
	s.ends(0, "")
}

// A successor takes the port over while the drain goes on.
func TestS14SuccessorBindsDuringTheDrain(t *testing.T) {
	t.Parallel()
	eachProgram(t, successorBindsDuringTheDrain)
}

func successorBindsDuringTheDrain(t *testing.T, in program) {
	t.Parallel()
	first := enter(t, setup{in: in, drain: "60s"})
	a := first.send("POST", "/work/a?steps=10&step=1") // it outlasts the start of another
	first.awaitPart("a", 0)
	first.signal(syscall.SIGTERM)
	first.awaitLog(entry{Msg: "closed", Listener: "web"})
	second := enter(t, setup{in: in, addr: first.addr})
	if got := <-second.send("GET", "/"); got.err != nil {
		t.Errorf("the successor does not serve: %v", got.err)
	}
	if first.over() {
		t.Error("the first had ended before its successor served")
	}
	first.done("a", a)
	b := second.job("b")
	<-first.ended
	second.signal(syscall.SIGTERM)
	second.done("b", b)
	second.ends(0, "")
	first.ends(0, "")
}
