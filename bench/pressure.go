package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

const (
	toolConns   = 64
	manyConns   = 512
	postClients = 32
)

// A pressure is a kind of load.
type pressure struct {
	name  string
	needs string   // the load generator; "": none
	serve []string // arguments of the server
	// start returns how to end it, and to learn what the clients have seen.
	start func(ctx context.Context, addr string) (end func() (load, error), err error)
}

// until has a load generator go on until it is ended.
func until(start func(ctx context.Context, addr string) (*tool, error)) func(context.Context, string) (func() (load, error), error) {
	return func(ctx context.Context, addr string) (func() (load, error), error) {
		t, err := start(ctx, addr)
		if err != nil {
			return nil, err
		}
		return t.end, nil
	}
}

// pressures are those of HTTP/1.
func (l *lab) pressures() []pressure {
	wrk := func(conns int, headers ...string) func(context.Context, string) (func() (load, error), error) {
		return until(func(ctx context.Context, addr string) (*tool, error) {
			return startWrk(ctx, addr, conns, rollsLimit, headers...)
		})
	}
	return []pressure{
		{fmt.Sprintf("wrk, %d connections, keep-alive", toolConns), "wrk", nil, wrk(toolConns)},
		{fmt.Sprintf("wrk, %d connections, keep-alive", manyConns), "wrk", nil, wrk(manyConns)},
		{fmt.Sprintf("wrk, %d connections, `Connection: close`", toolConns), "wrk", nil, wrk(toolConns, "Connection: close")},
		{fmt.Sprintf("ab -k, %d connections, HTTP/1.0", toolConns), "ab", nil, until(func(ctx context.Context, addr string) (*tool, error) {
			return l.startAb(ctx, addr, toolConns)
		})},
		{fmt.Sprintf("hey, %d connections, %d POSTs a second on each", toolConns, heyRate), "hey", nil, until(func(ctx context.Context, addr string) (*tool, error) {
			return startHey(ctx, addr, toolConns)
		})},
		{
			fmt.Sprintf("Go client, %d connections, POSTs with pauses of 0-300 µs, never sent twice", postClients), "", nil,
			posting("http://", nil, postClients, 1),
		},
	}
}

// posting has so many clients post, each so many at a time.
func posting(scheme string, protocols *http.Protocols, clients, streams int) func(context.Context, string) (func() (load, error), error) {
	return func(ctx context.Context, addr string) (func() (load, error), error) {
		var posters []*poster
		for range clients {
			posters = append(posters, newPoster(scheme+addr+"/", protocols))
		}
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan load, 1)
		go func() { done <- post(ctx, posters, streams) }()
		return func() (load, error) { cancel(); return <-done, nil }, nil
	}
}

// during has a server under the load while something is done.
func (k pressure) during(ctx context.Context, server *tree, do func() error) (m measured, err error) {
	before, err := opened()
	if err != nil {
		return m, err
	}
	end, err := k.start(ctx, server.addr)
	if err != nil {
		return m, err
	}
	doErr := do()
	m.load, err = end()
	if err := errors.Join(doErr, err); err != nil {
		return m, fmt.Errorf("%w: %s", err, server.said())
	}
	after, err := opened()
	m.opened = after - before
	switch {
	case err != nil:
		return m, err
	case m.requests == 0:
		return m, errors.New("no request was answered")
	}
	return m, nil
}
