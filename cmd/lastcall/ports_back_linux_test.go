package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// The slot of a port comes back while its worker is at work: newcomers come
// again, and the worker finds no error.
func TestPortComesBackUnderAWorkerAtWork(t *testing.T) {
	byAnybody(t, "single", readyByUptime, portComesBack)
}

// byAnybody runs a row of two, and one of an ordinary user.
func byAnybody(t *testing.T, server, more string, test func(*testing.T, *row)) {
	t.Run("anybody", func(t *testing.T) { test(t, aRow(t, server, 2, more).begin()) })
	t.Run("an ordinary user", func(t *testing.T) {
		h := &row{ordinary(t), freePorts(t, 2)}
		h.lined(server, 2, more)
		h.startOrdinary()
		test(t, h)
	})
}

func portComesBack(t *testing.T, h *row) {
	ask := func() net.Conn {
		c, err := net.Dial("tcp", h.at(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
		return c
	}
	clients := []net.Conn{ask()}
	h.until("the request has begun", func() bool { return strings.Contains(h.read("journal"), "begun") })
	var scaled sync.WaitGroup
	scaled.Go(func() { h.do("scale", "web=1") })
	h.until("newcomers are refused", func() bool { return h.refusedAtOnce(1) })
	h.until("it is asked to end", func() bool { return h.worker("web.1").State == "draining" })
	scaled.Go(func() { h.do("scale", "web=2") })
	h.until("newcomers come", func() bool {
		c, err := net.Dial("tcp", h.at(1))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	clients = append(clients, ask())
	h.finish()
	for i, c := range clients {
		if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "done\n") {
			t.Errorf("client %d got %q, %v", i, b, err)
		}
	}
	scaled.Wait()
	if journal := h.read("journal"); journal != "begun\nbegun\n" {
		t.Errorf("journal:\n%s", journal)
	}
	h.stops(0)
}

// It comes back while its socket is just being emptied.
func TestPortComesBackAtOnce(t *testing.T) {
	byAnybody(t, "brisk", "", func(t *testing.T, h *row) {
		for i := range 8 {
			down, up := h.command("scale", "web=1"), h.command("scale", "web=2")
			var scaled sync.WaitGroup
			scaled.Go(func() { _ = down.Run() }) // it may be told that it came to nothing
			h.until("it is closing", func() bool { return strings.Count(h.read("log"), "msg=closing listener") > i })
			_ = up.Run()
			scaled.Wait()
			h.do("scale", "web=2")
			if h.refused(1) {
				t.Fatalf("round %d: nobody is at its port", i)
			}
		}
		h.stops(0)
	})
}
