package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// readyByUptime is how a worker is taken for ready of which nothing can be seen.
const readyByUptime = "ready = \"uptime\"\nmin_uptime = \"10ms\"\n"

// A worker is at work when its listener is closed, and accepts again after that:
// it finds whoever is in the queue, or nobody, but no error. Newcomers are refused
// meanwhile.
func TestAcceptAfterTheClose(t *testing.T) {
	for _, balance := range []string{"shared", "slots"} {
		for _, waiting := range []int{0, 1} {
			for who, house := range map[string]func(*testing.T) *house{"anybody": found, "an ordinary user": ordinary} {
				t.Run(fmt.Sprintf("%s, %d waiting, %s", balance, waiting, who), func(t *testing.T) {
					h := house(t)
					h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nlisten = [\"web\"]\nbalance = %q\n", h.addr, h.path("single"), balance) + readyByUptime)
					if who == "anybody" {
						h.start()
					} else {
						h.startOrdinary()
					}
					h.logged("msg=ready\n")
					acceptAfterTheClose(t, h, waiting)
				})
			}
		}
	}
}

func acceptAfterTheClose(t *testing.T, h *house, waiting int) {
	answer := h.post()
	var queued []net.Conn
	for range waiting {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
		queued = append(queued, c)
	}
	h.send(syscall.SIGTERM)
	h.logged("msg=closed listener=web")
	if c, err := net.Dial("tcp", h.addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a newcomer got %v, %v, want a refusal", c, err)
	}
	h.finish()
	h.whole(answer)
	for _, c := range queued {
		if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "done\n") {
			t.Errorf("who waited got %q, %v", b, err)
		}
	}
	h.ends(0)
	if got, want := h.read("journal"), strings.Repeat("begun\n", 1+waiting); got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
}

// A successor takes the port while a worker that keeps its socket is at work.
func TestSuccessorOfAWorkerAtWork(t *testing.T) {
	h, next := ordinary(t), ordinary(t)
	next.addr = h.addr
	for house, server := range map[*house]string{h: "single", next: "brisk"} {
		house.configure(fmt.Sprintf("[program.web]\ncommand = [%q]\nworkers = 2\nlisten = [%q]\n", house.path(server), h.addr) + readyByUptime)
	}
	h.startOrdinary()
	answer := h.post()
	h.send(syscall.SIGTERM)
	h.logged("msg=closed listener=web")
	next.startOrdinary()
	for range 8 {
		if pid, err := askPid(h.addr); err != nil || strings.Contains(pid, "done") {
			t.Errorf("the successor is asked: %q, %v", pid, err)
		}
	}
	h.finish()
	h.whole(answer)
	_ = h.cmd.Wait()
	if code := h.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	next.send(syscall.SIGTERM)
	next.ends(0)
}

// The same of one port of many.
func TestAcceptAfterTheCloseOfOnePort(t *testing.T) {
	h := aRow(t, "single", 2, readyByUptime).begin()
	c, err := net.Dial("tcp", h.at(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
	h.until("the request has begun", func() bool { return strings.Contains(h.read("journal"), "begun") })
	var drain sync.WaitGroup
	drain.Go(func() { h.do("drain", "web.1") })
	h.until("it drains", func() bool { return h.worker("web.1").State == "draining" })
	h.until("newcomers are refused", func() bool { return h.refusedAtOnce(1) })
	h.finish()
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "done\n") {
		t.Errorf("what it had: %q, %v", b, err)
	}
	drain.Wait()
	if journal := h.read("journal"); journal != "begun\n" {
		t.Errorf("journal:\n%s", journal)
	}
	h.do("start", "web.1")
	if h.refused(1) {
		t.Error("it is started, and nobody is at its port")
	}
}
