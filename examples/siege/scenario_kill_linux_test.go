package main

import (
	"bytes"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// S12: the parent is killed with a job in flight. The job is whole and its
// client has the answer; nobody is left, redis was the last, the port is free.
func TestS12KillTheParent(t *testing.T) {
	eachProgram(t, killTheParent)
}

func killTheParent(t *testing.T, in program) {
	s := enter(t, setup{in: in})
	a := s.job("a")
	s.meet()
	s.signal(syscall.SIGKILL)
	killed := time.Now()
	eventually(t, "the port is free", func() bool { return isFree(s.addr) == nil })
	freed := time.Now()
	if got := s.done("a", a); got.at.Before(freed) {
		t.Errorf("the port was free %v after the kill only, when the job had been answered", freed.Sub(killed))
	}
	eventually(t, "nobody is left", func() bool {
		for _, p := range s.family {
			if p.alive() {
				return false
			}
		}
		return true
	})
	if took := time.Since(killed); took > endLimit {
		t.Errorf("it took %v until nobody was left", took)
	}
	s.checkSets()
	text, err := os.ReadFile(s.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	// What the guard logs. Neither was redis asked before the workers had ended.
	var order []string
	for _, m := range regexp.MustCompile(`"msg":"(gone|signalled|stop command)","worker":"([a-z]+)`).FindAllSubmatch(text, -1) {
		order = append(order, string(m[2]))
	}
	want := 2
	if in.python {
		want = 4 // a worker in Go has seen the end of its channel; this one is signalled first
	}
	n := 0
	for ; n < len(order) && order[n] == "web"; n++ {
	}
	if n != want || len(order) < want+2 {
		t.Errorf("the order of the endings is %v, want two of web, then redis alone", order)
	}
	for _, worker := range order[min(n, len(order)):] {
		if worker != "redis" {
			t.Errorf("the order of the endings is %v, want redis last", order)
		}
	}
	if bytes.Contains(text, []byte("killed: did not end in time")) {
		t.Error("somebody had to be killed")
	}
}
