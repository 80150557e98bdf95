package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var stops = flag.Int("stops", 10, "how often TestStopsUnderConnectingClients stops a supervisor; 50 say more")

// connecting is how many clients connect at a time, again and again.
const connecting = 32

// TestStopsUnderConnectingClients stops supervisors while clients connect. Who
// gets a connection gets an answer; who gets none is refused.
func TestStopsUnderConnectingClients(t *testing.T) {
	for _, c := range []struct {
		worker string
		stops  int
	}{{"brisk", *stops}, {"foreign", max(1, *stops/5)}} {
		t.Run(c.worker, func(t *testing.T) {
			t.Parallel() // most of the time is that of TCP's own retransmission
			h := found(t)
			h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nworkers = 2\nlisten = [\"web\"]\n", h.addr, h.path(c.worker)))
			var answered int64
			for i := 0; i < c.stops && !t.Failed(); i++ {
				answered += h.stopConnecting()
			}
			t.Logf("%d stops, %d requests answered", c.stops, answered)
		})
	}
}

// stopConnecting is one start and one stop under connecting clients. It returns
// how many requests were answered.
func (h *house) stopConnecting() int64 {
	h.t.Helper()
	h.start()
	h.logged("msg=ready\n")
	var answered atomic.Int64
	var clients sync.WaitGroup
	for i := range connecting {
		clients.Go(func() {
			refused, err := false, error(nil)
			for err == nil && !refused {
				if refused, err = connect(h.addr, i%2 == 0); err == nil && !refused {
					answered.Add(1)
				}
			}
			if err != nil {
				h.t.Errorf("client %d: %v", i, err)
			}
		})
	}
	h.until("some are answered", func() bool { return answered.Load() > 10*connecting || h.t.Failed() })
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		h.t.Fatal(err)
	}
	clients.Wait() // before h itself listens there: each is refused, or fails, within its patience
	h.ends(0)
	return answered.Load()
}

// connect connects, sends one request, reads the answer and closes. Refused is
// only who gets no connection: any other end is an error. With last the server
// is to close first.
func connect(addr string, last bool) (refused bool, err error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	header := ""
	if last {
		header = "Connection: close\r\n"
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: test\r\n"+header+"\r\n"); err != nil {
		return false, err
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false, fmt.Errorf("read answer: %w", err)
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return false, fmt.Errorf("read body: %w", err)
	}
	if r.StatusCode != http.StatusOK {
		return false, errors.New(r.Status)
	}
	return false, nil
}
