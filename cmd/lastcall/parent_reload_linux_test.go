package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// A socket of the parent's cannot be bound again: while the configuration says
// the listener, a program that a reload has taken away can come back to it.
func TestSocketOfTheParentOutlivesItsProgram(t *testing.T) {
	h := found(t)
	p := h.passes()
	p.socket("web", "tcp", h.addr)
	without := fmt.Sprintf("[listen]\nweb = %q\n[program.other]\ncommand = [\"sleep\", \"600\"]\nready = \"uptime\"\nmin_uptime = \"10ms\"\n", h.addr)
	with := without + fmt.Sprintf("[program.web]\ncommand = [%q]\nlisten = [\"web\"]\n", h.path("brisk"))
	h.configure(with)
	p.starts()
	for range 2 {
		h.configure(without)
		h.do("reload")
		h.do("reload")
		h.configure(with)
		h.do("reload")
		r, err := http.Get("http://" + h.addr)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
	}
	h.do("upgrade")
	h.stopped()
	p.close()
	h.free()
}

// What a reload does not want any more the parent is to forget, though no program
// has ever served it, and its path goes.
func TestStoreForgetsWhatNobodyServed(t *testing.T) {
	h := found(t)
	configure := func(more string) {
		h.configure(fmt.Sprintf("[listen]\nweb = %q\n%s[program.web]\ncommand = [%q]\nlisten = [\"web\"]\n", h.addr, more, h.path("brisk")))
	}
	e := listens(h, "FDSTORE=8")
	configure(fmt.Sprintf("spare = %q\n", h.path("spare.sock")))
	h.start()
	_, n := e.hears(0, "READY=1")
	e.hears(0, "FDSTORE=1\nFDPOLL=0\nFDNAME=lastcall/spare")
	configure("")
	h.do("reload")
	e.hears(n, "FDSTOREREMOVE=1\nFDNAME=lastcall/spare")
	if _, err := os.Stat(h.path("spare.sock")); err == nil {
		t.Error("its path is left")
	}
	if !strings.Contains(h.read("log"), "msg=closed listener=spare") {
		t.Error("it is not closed")
	}
	h.stopped()
	e.forget()
	h.free()
}
