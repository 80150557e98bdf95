package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// A client is how a server is spoken to.
type client interface {
	// ask sends one request on a connection of its own, and never a second
	// time; slow asks for the one that takes slowTime. nil: a whole, good answer.
	ask(ctx context.Context, addr string, slow bool) error
	// load sends requests until end is called: on connections that it keeps, or
	// on a connection for each.
	load(ctx context.Context, addr string, keep bool) (end func() (tally, error), err error)
}

// A tally is what clients have seen. Lost is every request without a whole, good
// answer.
type tally struct{ answered, lost int }

// slowTime is how long the slow request takes.
const slowTime = time.Second

// connections are those of a load.
const connections = 32

// A web client speaks HTTP/1.1. Its load is that of wrk.
type web struct{}

// ask writes and reads for itself: net/http would send some requests again.
func (web) ask(ctx context.Context, addr string, slow bool) error {
	path, want := "/", "ok\n"
	if slow {
		path, want = "/slow", "done\n"
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })() // or it ends with the connection
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: compat\r\n\r\n", path); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK || string(body) != want {
		return fmt.Errorf("answer: %s, %q", answer.Status, body)
	}
	return nil
}

func (web) load(ctx context.Context, addr string, keep bool) (func() (tally, error), error) {
	var headers []string
	if !keep {
		headers = append(headers, "Connection: close")
	}
	return startWrk(ctx, addr, headers...)
}
