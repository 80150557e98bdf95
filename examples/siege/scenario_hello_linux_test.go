package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/examples/siege/load"
)

// enterHello runs the smallest server there is as two workers, without a
// configuration, and waits until it is ready.
func enterHello(t *testing.T, addr string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), addr: addr, ended: make(chan struct{})}
	s.start("", "--workers", "2", "--listen", addr, "--", built.path(t, "hello"))
	s.ready()
	return s
}

func TestRunsUnderPlainCommand(t *testing.T) {
	t.Parallel()
	s := enterHello(t, freeAddr(t))
	workers := s.workers("hello")
	if len(workers) != 2 || workers[0].Worker != "hello.0" || workers[1].Worker != "hello.1" {
		t.Errorf("the workers are %+v", workers)
	}
	conn := &load.Conn{Addr: s.addr, Keep: true, Timeout: endLimit}
	defer conn.Close()
	for range 2 {
		if body, err := conn.Do("GET", "/"); err != nil || !strings.HasPrefix(body, "hello from ") {
			t.Errorf("it answers %q, %v", body, err)
		}
	}
	s.verb("stop") // the idle connection does not hold it
	s.ends(0, "")
}

// The smallest server, without a supervisor: after TERM a request that has been
// begun is answered, and its client told to go.
func TestHelloAlone(t *testing.T) {
	t.Parallel()
	const addr = "127.0.0.1:8080" // its own
	if err := isFree(addr); err != nil {
		t.Skipf("somebody else uses the port of hello: %v", err)
	}
	log, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	said := func(what string) bool {
		text, err := os.ReadFile(log.Name())
		return err == nil && strings.Contains(string(text), what)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, built.path(t, "hello"))
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var conn net.Conn
	eventually(t, "hello accepts", func() (ok bool) {
		var err error
		conn, err = net.Dial("tcp", addr)
		return err == nil
	})
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: hello\r\n"); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	eventually(t, "hello drains", func() bool { return said("draining") })
	if _, err := io.WriteString(conn, "\r\n"); err != nil {
		t.Error(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil || !bytes.Contains(text, []byte("200 OK")) || !bytes.Contains(text, []byte("Connection: close")) || !bytes.Contains(text, []byte("hello from")) {
		t.Errorf("the request in progress was answered %q, %v", text, err)
	}
	if err := cmd.Wait(); err != nil || ctx.Err() != nil || said("DATA RACE") || !said("drained") {
		t.Errorf("hello ended with %v, without having drained", cmd.ProcessState)
	}
	if err := isFree(addr); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}

// Fifty stops under clients that connect all the time: each connection is
// served or refused. A connection that was accepted and then reset is what a
// listener that is closed under newcomers does.
func TestFiftyStopsUnderConnectingClients(t *testing.T) {
	addr := freeAddr(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var served, refused atomic.Int64
	faults := make(chan error, 32)
	var clients sync.WaitGroup
	for range 32 {
		clients.Go(func() {
			if err := connect(ctx, addr, &served, &refused); err != nil {
				faults <- err
			}
		})
	}
	for range 50 {
		// A test of its own, so that only the log of one that fails is shown.
		ok := t.Run("stop", func(t *testing.T) {
			s := enterHello(t, addr)
			before := served.Load()
			eventually(t, "clients are served", func() bool { return served.Load() >= before+64 })
			s.signal(syscall.SIGTERM)
			s.ends(0, "")
			if n := len(faults); n > 0 {
				t.Errorf("%d clients are not served, nor refused", n)
			}
		})
		if !ok {
			break
		}
	}
	stop()
	clients.Wait()
	close(faults)
	for err := range faults {
		t.Error(err)
	}
	t.Logf("%d connections served, %d refused", served.Load(), refused.Load())
	if refused.Load() == 0 {
		t.Error("no client has come while nobody served")
	}
}

// connect opens connections, one request each, until ctx ends or one of them
// is neither served nor refused.
func connect(ctx context.Context, addr string, served, refused *atomic.Int64) error {
	// A SYN that comes just when the listener is closed is sent again after
	// one second, and three.
	c := &load.Conn{Addr: addr, Timeout: 10 * time.Second}
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for ctx.Err() == nil {
		dialled := c.Dialled
		_, err := c.Do("GET", "/")
		switch {
		case err == nil:
			served.Add(1)
		case c.Dialled == dialled && errors.Is(err, syscall.ECONNREFUSED):
			refused.Add(1)
		default:
			return fmt.Errorf("%s: %w", time.Now().Format(time.StampMicro), err)
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	return nil
}
