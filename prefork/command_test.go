package prefork_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestRoll rolls by command, of one slot and of all, and by HUP.
func TestRoll(t *testing.T) {
	a, addr := ready(t, "web")
	before := a.snapshot()
	a.do("roll 1")
	one := a.snapshot()
	if one.Workers[0].Pid != before.Workers[0].Pid || one.Workers[1].Pid == before.Workers[1].Pid || one.Generation != 1 {
		t.Errorf("roll 1: from %+v to %+v", before, one)
	}
	a.do("roll")
	all := a.snapshot()
	for slot, p := range all.Workers {
		if p.Pid == one.Workers[slot].Pid || !p.Ready || p.Generation != 2 || all.Generation != 2 {
			t.Errorf("roll: from %+v to %+v", one, all)
		}
	}
	a.signal(syscall.SIGHUP)
	a.until("HUP has rolled", func() bool { now := a.snapshot(); return now.Generation == 3 && now.State == "running" })
	if got := get(addr, "/"); !strings.Contains(got, " ") {
		t.Errorf("after the rolls GET / = %q", got)
	}
	a.tell("roll 7")
	if got := a.answer(); !strings.Contains(got, "roll app.7: no worker named app.7") {
		t.Errorf("roll 7: %s", got)
	}
	a.do("stop")
	a.exits(0)
}

// TestScaleAndSlots scales, takes a slot down and brings it back.
func TestScaleAndSlots(t *testing.T) {
	a, addr := ready(t, "web")
	a.do("scale 3")
	if got := a.snapshot(); got.Wanted != 3 || len(got.Workers) != 3 || !got.Workers[2].Ready {
		t.Errorf("scale 3: %+v", got)
	}
	a.do("scale 2")
	a.do("drain 0")
	if got := a.snapshot(); len(got.Workers) != 2 || got.Workers[0].State != "stopped" || got.Workers[0].Pid != 0 || !got.Workers[1].Ready {
		t.Errorf("drain 0: %+v", got)
	}
	a.tell("pid 0")
	if got := a.answer(); !strings.Contains(got, "no process is in the slot") {
		t.Errorf("pid 0: %s", got)
	}
	if got := get(addr, "/"); !strings.HasPrefix(got, "1 ") {
		t.Errorf("with slot 0 down GET / = %q", got)
	}
	a.do("start 0")
	if got := a.snapshot(); !got.Workers[0].Ready {
		t.Errorf("start 0: %+v", got)
	}
	a.do("drain")
	a.do("start")
	a.tell("scale 0")
	if got := a.answer(); !strings.Contains(got, "at least 1 worker") {
		t.Errorf("scale 0: %s", got)
	}
	a.signal(syscall.SIGTERM)
	a.exits(0)
}

func TestControlSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "prefork")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := dir + "/control/app.sock" // in a directory that it makes for itself
	a, _ := ready(t, "web", "SOCKET="+socket)
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
	r, err := client.Get("http://lastcall/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if !strings.Contains(string(body), `"worker":"app.1"`) || err != nil {
		t.Errorf("status: %s, %v", body, err)
	}
	second := start(t, "web", "SOCKET="+socket)
	second.exits(3)
	if second.count("a supervisor already runs here") != 1 || second.count("after in -1") != 1 {
		t.Error("a second supervisor does not say why it ends")
	}
	a.signal(syscall.SIGTERM)
	a.exits(0)
}
