package main

import (
	"context"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/examples/siege/load"
)

// Rolling restarts under clients that open a connection for each request: not
// one request is lost, and no worker is the old one.
func TestRollsUnderOneRequestPerConnection(t *testing.T) {
	eachProgram(t, rollsUnderOneRequestPerConnection)
}

func rollsUnderOneRequestPerConnection(t *testing.T, in program) {
	s := enter(t, setup{in: in, drain: "30s"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	loaded := make(chan load.Result, 1)
	go func() {
		loaded <- load.Run(ctx, load.Config{Addr: s.addr, Single: 4, Think: time.Millisecond, Timeout: endLimit}).Single
	}()
	wrk := startWrk(t, s.addr)

	rolls := 0
	old := s.workers("web")
	for more := true; more; rolls++ {
		s.verb("restart")
		s.meet()
		now := s.workers("web")
		for i := range now {
			if len(now) != len(old) || now[i].PID == old[i].PID || now[i].Worker != old[i].Worker || now[i].State != "ready" {
				t.Fatalf("a restart has made %+v of %+v", now, old)
			}
		}
		old = now
		select {
		case <-wrk.ended:
			more = rolls < 2 // three at the least
		case <-t.Context().Done():
			more = false
		default:
		}
	}
	wrk.check(t)
	stop()
	r := <-loaded
	t.Logf("%d restarts; %s", rolls, r)
	if r.Answered < r.Sent || r.Sent == 0 {
		t.Errorf("clients that never retry: %s", r)
	}
	s.signal(syscall.SIGTERM)
	s.ends(0, "")
}

// A wrkRun is wrk with 16 connections for six seconds. Where wrk is not
// installed it is six seconds.
type wrkRun struct {
	ended chan struct{}
	out   []byte
	err   error
}

func startWrk(t *testing.T, addr string) *wrkRun {
	t.Helper()
	w := &wrkRun{ended: make(chan struct{})}
	path, err := exec.LookPath("wrk")
	if err != nil {
		t.Log("wrk is not installed; scripts/setup installs it")
		time.AfterFunc(6*time.Second, func() { close(w.ended) })
		return w
	}
	cmd := exec.CommandContext(t.Context(), path, "-t1", "-c16", "-d6s", "--timeout", "20s", "-H", "Connection: close", "http://"+addr+"/")
	go func() {
		w.out, w.err = cmd.CombinedOutput()
		close(w.ended)
	}()
	return w
}

// check reads wrk's report, which mentions errors only if there are any.
func (w *wrkRun) check(t *testing.T) {
	t.Helper()
	if w.out == nil && w.err == nil {
		return
	}
	t.Logf("%s", w.out)
	if w.err != nil {
		t.Errorf("wrk: %v", w.err)
	}
	for _, bad := range []string{"Socket errors.*", "Non-2xx.*"} {
		if line := regexp.MustCompile(bad).Find(w.out); line != nil {
			t.Errorf("wrk has seen: %s", line)
		}
	}
	if !regexp.MustCompile(`[1-9]\d* requests in`).Match(w.out) {
		t.Error("wrk has sent no request")
	}
}
