package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestParseWrk(t *testing.T) {
	const quiet = `Running 3s test @ http://127.0.0.1:8080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   303.93us  245.06us   5.28ms   86.57%
    Req/Sec    51.92k     3.19k   58.28k    67.74%
  Latency Distribution
     50%  303.00us
     75%  400.00us
     90%  900.00us
     99%    1.23ms
  160093 requests in 3.10s, 18.93MB read
`
	const rate = `Requests/sec:  51644.21
Transfer/sec:      6.11MB
`
	for _, c := range []struct {
		report string
		want   load
	}{
		{quiet + rate, load{requests: 160093, perSecond: 51644.21, p99: 1230 * time.Microsecond}},
		{quiet + "  Socket errors: connect 1, read 20, write 300, timeout 4000\n" + rate, load{requests: 160093, lost: 4321, perSecond: 51644.21, p99: 1230 * time.Microsecond}},
		{quiet + "  Non-2xx or 3xx responses: 7\n" + rate, load{requests: 160093, lost: 7, perSecond: 51644.21, p99: 1230 * time.Microsecond}},
	} {
		if got, err := parseWrk(c.report); err != nil || got != c.want {
			t.Errorf("got %+v, %v; want %+v of:\n%s", got, err, c.want, c.report)
		}
	}
	for _, report := range []string{"", quiet, rate, "unable to connect to 127.0.0.1:1 Connection refused"} {
		if got, err := parseWrk(report); err == nil {
			t.Errorf("got %+v of %q, want an error", got, report)
		}
	}
}

// TestPostCountsEveryLoss has a server drop every fifth request. All it was
// sent must be counted: a client that sends a request again has one more.
func TestPostCountsEveryLoss(t *testing.T) {
	const enough = 200
	ctx, cancel := context.WithCancel(t.Context())
	var sent, dropped atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		n := sent.Add(1)
		if n == enough {
			cancel()
		}
		if n%5 == 0 {
			dropped.Add(1)
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, quickBody)
	}))
	defer s.Close()
	var posters []*poster
	for range 8 {
		posters = append(posters, newPoster(s.URL, nil))
	}
	got := post(ctx, posters, 1)
	if int64(got.lost) != dropped.Load() || int64(got.requests+got.lost) != sent.Load() || sent.Load() < enough {
		t.Errorf("counted %d answered and %d lost, but %d were sent and %d of them dropped",
			got.requests, got.lost, sent.Load(), dropped.Load())
	}
}

// TestPostWantsTheWholeAnswer counts a wrong answer as a loss.
func TestPostWantsTheWholeAnswer(t *testing.T) {
	for _, c := range []struct {
		code int
		body string
		good bool
	}{{200, quickBody, true}, {200, "", false}, {503, quickBody, false}} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.code)
			_, _ = io.WriteString(w, c.body)
		}))
		if err := newPoster(s.URL, nil).once(); (err == nil) != c.good {
			t.Errorf("%d %q: error %v", c.code, c.body, err)
		}
		s.Close()
	}
}

// TestPostOverHTTP2SendsTheUnbegunAgain has a server tell each connection to go
// after some requests, and lose none that it has begun.
func TestPostOverHTTP2SendsTheUnbegunAgain(t *testing.T) {
	const enough = 400
	ctx, cancel := context.WithCancel(t.Context())
	var begun, lost atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n := begun.Add(1)
		if n == enough {
			cancel()
		}
		switch {
		case n%20 == 0:
			w.Header().Set("Connection", "close") // GOAWAY
		case n%33 == 0:
			lost.Add(1)
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, quickBody)
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	got := post(ctx, []*poster{newPoster(s.URL, s.Config.Protocols)}, 4)
	if int64(got.lost) != lost.Load() || int64(got.requests+got.lost) != begun.Load() || begun.Load() < enough {
		t.Errorf("counted %d answered and %d lost, but %d were begun and %d of them dropped",
			got.requests, got.lost, begun.Load(), lost.Load())
	}
}

// TestExchangeWantsTheConnection has a server close what it is to keep.
func TestExchangeWantsTheConnection(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(answer))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if err := exchange(c); err != nil {
			t.Fatal(err)
		}
	}
	s.CloseClientConnections()
	if failures := each([]net.Conn{c, c}, func(c *net.Conn) error { return exchange(*c) }); len(failures) != 2 {
		t.Errorf("failures: %v, want 2", failures)
	}
}
