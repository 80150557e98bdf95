package lastcall

import (
	"context"
	"net"
	"net/http"
	"time"
)

// separateHTTP2 has the connections of HTTP/2 belong to another server, which
// has no listener: its Shutdown tells their clients to go, and does nothing
// else, where srv's own would close connections of HTTP/1 under their requests.
// Where the application serves HTTP/2 in a way of its own, or does not serve
// it, nothing changes.
func (s *httpServer) separateHTTP2() {
	srv := s.srv
	if srv.TLSNextProto != nil {
		return
	}
	h2 := &http.Server{
		Protocols: srv.Protocols, HTTP2: srv.HTTP2, TLSConfig: srv.TLSConfig.Clone(),
		IdleTimeout: srv.IdleTimeout, ReadTimeout: srv.ReadTimeout,
	}
	// It ends at once, and has made its handlers by then: they serve on behalf
	// of whom they are called by.
	_ = h2.ServeTLS(noListener{}, "", "")
	if h2.TLSNextProto == nil {
		return
	}
	srv.TLSNextProto = h2.TLSNextProto
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http2 = h2
}

type noListener struct{ net.Listener }

// Accept implements net.Listener.
func (noListener) Accept() (net.Conn, error) { return nil, errListenerDone }

// Close implements net.Listener.
func (noListener) Close() error { return nil }

// goAway sends GOAWAY to the clients of HTTP/2 that have not had it; s.mu is
// held. It waits for nothing.
func (s *httpServer) goAway(now time.Time) {
	told := false
	for c := range s.conns {
		told = c.wentAway(now) || told
	}
	if told && s.http2 != nil {
		_ = s.http2.Shutdown(context.Background()) // of no listener and no connection
	}
}
