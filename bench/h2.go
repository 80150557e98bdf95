package main

import (
	"context"
	"fmt"
	"net/http"
)

const (
	h2Clients = 8
	h2Streams = 4
)

// takeH2 counts what rolling restarts lose of HTTP/2, whose connections cannot
// be moved: their clients are told to open others.
func takeH2(ctx context.Context, l *lab, p plan) (*table, error) {
	secure, clear := new(http.Protocols), new(http.Protocols)
	secure.SetHTTP2(true)
	clear.SetUnencryptedHTTP2(true)
	name := fmt.Sprintf("Go client, %d connections of %d streams, POSTs with pauses of 0-300 µs, ", h2Clients, h2Streams)
	t, err := l.rollTable(ctx, p, fmt.Sprintf("%d rolling restarts of %d workers, with HTTP/2", p.allRolls(), rollWorkers), []pressure{
		{name + "TLS", "", []string{"-tls"}, posting("https://", secure, h2Clients, h2Streams)},
		{name + "h2c", "", []string{"-h2c"}, posting("http://", clear, h2Clients, h2Streams)},
	})
	if err != nil {
		return nil, err
	}
	t.note("The client sends a request again only if the server has said that it has not begun with it (RFC 9113, 8.7). Lost is every other without a whole, good answer.")
	return t, nil
}
