package main

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/examples/siege/load"
)

// Workers that have served their number are replaced under load: not one
// request is lost, and there is never more than one worker too many.
func TestMaxRequestsUnderLoad(t *testing.T) {
	t.Parallel()
	s := enter(t, setup{drain: "30s", keys: "max_requests = 200\nmax_requests_jitter = 50"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	loaded := make(chan load.Result, 1)
	go func() {
		loaded <- load.Run(ctx, load.Config{Addr: s.addr, Single: 4, Think: time.Millisecond, Timeout: endLimit}).Single
	}()
	eventually(t, "eight are replaced", func() bool { return s.starts("web.0")+s.starts("web.1") >= 10 })
	stop()
	r := <-loaded
	t.Log(r)
	if r.Answered < r.Sent || r.Sent == 0 {
		t.Errorf("clients that never retry: %s", r)
	}
	s.meet()
	s.signal(syscall.SIGTERM)
	s.ends(0, "")
	there := 0
	for _, e := range s.log() {
		if !strings.HasPrefix(e.Worker, "web.") {
			continue
		}
		switch e.Msg {
		case "started":
			there++
		case "gone":
			there--
		case "to be replaced":
			if !strings.Contains(e.Reason, "max_requests: has served ") {
				t.Errorf("%s is replaced: %s", e.Worker, e.Reason)
			}
		}
		if there > 3 {
			t.Fatal("two are replaced at once")
		}
	}
}

// A worker that hangs, as one that is stopped, is replaced by itself, and the
// other one serves on.
func TestWatchdogOfAGoWorker(t *testing.T) {
	t.Parallel()
	s := enter(t, setup{drain: "30s", keys: `watchdog = "3s"`})
	before := s.workers("web")
	if err := syscall.Kill(before[1].PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.awaitLog(entry{Msg: "to be replaced", Worker: "web.1", Reason: "watchdog: no sign of life for 3s"})
	s.awaitLog(entry{Msg: "gone", Worker: "web.1", Life: before[1].Life})
	s.meet()
	after := s.workers("web")
	if len(after) != 2 || after[0].PID != before[0].PID || after[1].PID == before[1].PID || after[1].State != "ready" {
		t.Errorf("%+v has become %+v", before, after)
	}
	// It is heard of once more: ABRT has a Go program say where it hung.
	if s.count("SIGABRT: abort") == 0 {
		t.Error("the log does not say what the worker did")
	}
	a := s.job("a")
	s.signal(syscall.SIGTERM)
	s.done("a", a)
	s.ends(0, "")
}
