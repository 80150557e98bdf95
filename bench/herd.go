package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	herdSize   = 10_000
	herdSpare  = 500 // descriptors for everything else that a process has
	herdTarget = time.Second
	herdHands  = 64 // how many of them are dealt with at a time
)

// takeHerd moves a herd of idle connections in one roll.
func takeHerd(ctx context.Context, l *lab, _ plan) (*table, error) {
	// The runtime has raised our own limit to the hard one; so does that of
	// every worker.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("read limit of descriptors: %w", err)
	}
	size := min(herdSize, int(limit.Max)-herdSpare)
	server, err := l.supervised(rollWorkers).start(ctx)
	if err != nil {
		return nil, err
	}
	defer server.close()
	herd := make([]net.Conn, size)
	defer func() {
		for _, c := range herd {
			if c != nil {
				c.Close()
			}
		}
	}()
	if err := errors.Join(each(herd, func(c *net.Conn) (err error) {
		if *c, err = net.DialTimeout("tcp", server.addr, startTimeout); err != nil {
			return err
		}
		return exchange(*c)
	})...); err != nil {
		return nil, fmt.Errorf("open connections: %w", err)
	}
	times, err := l.restart(ctx, server, 1)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, server.said())
	}
	closed := len(each(herd, func(c *net.Conn) error { return exchange(*c) }))
	t := &table{
		title: fmt.Sprintf("%d idle connections, and one rolling restart of %d workers", size, rollWorkers),
		head:  []string{"", "closed", "the roll"},
	}
	t.add("`lastcall run`", fmt.Sprint(closed), millis(times[0]))
	if size < herdSize {
		t.note("It would be %d, but the hard limit of descriptors of a process is %d here.", herdSize, limit.Max)
	}
	t.note("Each connection has had a request answered before, and is sent another afterwards. Target for the roll: at most %v: %s.", herdTarget, verdict(times[0] <= herdTarget))
	return t, server.end(ctx)
}

// each does something with all of a herd, some at a time, and returns what went
// wrong.
func each(herd []net.Conn, do func(*net.Conn) error) (failures []error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for hand := range herdHands {
		all.Go(func() {
			for i := hand; i < len(herd); i += herdHands {
				if err := do(&herd[i]); err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return failures
}

// exchange has one request answered on a connection that stays open.
func exchange(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return err
	}
	var text string
	for buf := make([]byte, 512); !strings.HasSuffix(text, "\r\n\r\n"+quickBody); {
		n, err := c.Read(buf)
		text += string(buf[:n])
		if err != nil {
			return err
		}
	}
	if !strings.HasPrefix(text, "HTTP/1.1 200 ") {
		return fmt.Errorf("answer: %q", text)
	}
	return nil
}
