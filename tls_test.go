package lastcall

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// tlsServer is a server for HTTP/1 and HTTP/2 with net/http's test certificate.
func tlsServer(t testing.TB, h http.Handler) Server {
	t.Helper()
	made := httptest.NewUnstartedServer(nil)
	made.StartTLS()
	defer made.Close()
	return Server{Addr: "127.0.0.1:0", HTTP: &http.Server{
		Handler:   h,
		TLSConfig: &tls.Config{Certificates: made.TLS.Certificates},
	}}
}

func tlsTransport(t testing.TB, h2 bool) *http.Transport {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: h2}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// TestHTTP2Drain has the streams of a connection end, new ones go elsewhere,
// and the client told to go.
func TestHTTP2Drain(t *testing.T) {
	for name, server := range map[string]func(http.Handler) (Server, *http.Transport, string){
		"tls": func(h http.Handler) (Server, *http.Transport, string) {
			return tlsServer(t, h), tlsTransport(t, true), "https://"
		},
		"cleartext": func(h http.Handler) (Server, *http.Transport, string) {
			var p http.Protocols
			p.SetHTTP1(true)
			p.SetUnencryptedHTTP2(true)
			var c http.Protocols
			c.SetUnencryptedHTTP2(true)
			tr := &http.Transport{Protocols: &c}
			t.Cleanup(tr.CloseIdleConnections)
			return Server{Addr: "127.0.0.1:0", HTTP: &http.Server{Handler: h, Protocols: &p}}, tr, "http://"
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGatekeeper()
			var mux http.ServeMux
			mux.Handle("/", g)
			mux.HandleFunc("/ok", ok)
			srv, tr, scheme := server(&mux)
			s := serve(t, &Worker{}, srv)
			var wg sync.WaitGroup
			client := &http.Client{Transport: tr}
			first, err := client.Get(scheme + s.addr + "/ok") // a connection for all
			if err != nil {
				t.Fatal(err)
			}
			first.Body.Close()
			get := func(size int) {
				r, err := client.Post(scheme+s.addr+"/", "text/plain", strings.NewReader(strings.Repeat("x", size)))
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Body.Close()
				if b, err := io.ReadAll(r.Body); err != nil || string(b) != "done" || r.ProtoMajor != 2 {
					t.Errorf("%s %q %v", r.Proto, b, err)
				}
			}
			for i := range 10 {
				wg.Go(func() { get(i) })
			}
			var requests []*http.Request
			for range 10 {
				requests = append(requests, within(t, "a stream begins", g.entered))
			}
			s.Drain()
			s.waitDraining()
			if len(s.conns()) != 1 || !s.conns()[0].isHTTP2() {
				t.Errorf("%d connections, HTTP/2 not recognized", len(s.conns()))
			}
			close(g.leave)
			wg.Wait()
			begin := time.Now()
			s.drained()
			t.Logf("Serve has returned %v after the last response", time.Since(begin))
			for _, r := range requests {
				if context.Cause(r.Context()) == ErrCut {
					t.Error("cut")
				}
			}
		})
	}
}

// TestHTTP2Idle tells an idle client to go, and closes one that does not.
func TestHTTP2Idle(t *testing.T) {
	s := serve(t, &Worker{FreshGrace: 100 * time.Millisecond}, tlsServer(t, http.HandlerFunc(ok)))
	client := &http.Client{Transport: tlsTransport(t, true)}
	r, err := client.Get("https://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()

	// A client that reads nothing, and so does not see GOAWAY.
	deaf, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	io.WriteString(deaf, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	eventually(t, "both are idle", func() bool { return s.phases(idle) == 2 })
	s.Drain()
	s.drained()
}

// TestHTTP2Expendable cuts a stream and leaves those beside it alone.
func TestHTTP2Expendable(t *testing.T) {
	g := newGatekeeper()
	cut := make(chan error, 1)
	var mux http.ServeMux
	mux.Handle("/critical", g)
	mux.Handle("/stream", Expendable(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		cut <- context.Cause(r.Context())
	})))
	s := serve(t, &Worker{}, tlsServer(t, &mux))
	client := &http.Client{Transport: tlsTransport(t, true)}
	stream, err := client.Get("https://" + s.addr + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, err := client.Get("https://" + s.addr + "/critical")
		if err != nil {
			t.Error(err)
			return
		}
		r.Body.Close()
	}()
	<-g.entered
	s.Drain()
	s.waitDraining()
	if len(cut) > 0 {
		t.Error("cut while something critical was in progress")
	}
	close(g.leave)
	within(t, "the critical stream ends", done)
	if cause := within(t, "the stream is cut", cut); cause != ErrCut {
		t.Errorf("cause %v", cause)
	}
	s.drained()
}

// TestTLSDrain drains HTTP/1 over TLS: idle, silent, and with a request in
// progress.
func TestTLSDrain(t *testing.T) {
	g := newGatekeeper()
	var mux http.ServeMux
	mux.HandleFunc("/ok", ok)
	mux.Handle("/wait", g)
	s := serve(t, &Worker{}, tlsServer(t, &mux))
	dialTLS := func() *client {
		c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, c)
	}
	idle, busy, late, silent := dialTLS(), dialTLS(), dialTLS(), dial(t, s.addr)
	idle.roundTrip("/ok")
	busy.get("/wait")
	<-g.entered
	s.Drain()
	s.waitDraining()
	late.get("/ok") // the handshake is done, the request comes now
	if r, body := late.response(); !r.Close || body != "ok" {
		t.Errorf("%s, close %v, %q", r.Status, r.Close, body)
	}
	late.closed()
	idle.closed() // with close_notify: an end, not a truncation
	close(g.leave)
	if r, body := busy.response(); !r.Close || body != "done" {
		t.Errorf("%s, close %v, %q", r.Status, r.Close, body)
	}
	busy.closed()
	silent.closed()
	s.drained()
}
