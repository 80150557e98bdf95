package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers each connection by a function of its own.
func serve(t *testing.T, answer func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				// The request is read first: closing on unread bytes is a reset.
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					answer(c.(*net.TCPConn))
				}
			}()
		}
	}()
	return l.Addr().String()
}

func write(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) { _, _ = c.Write([]byte(text)) }
}

func TestReasons(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	hang := make(chan struct{})
	defer close(hang)
	for want, addr := range map[string]string{
		"refused":                           closed.Addr().String(),
		"reset":                             serve(t, func(c *net.TCPConn) { _ = c.SetLinger(0) }),
		"closed without an answer":          serve(t, func(*net.TCPConn) {}),
		"closed in the middle of an answer": serve(t, write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")),
		"status 503":                        serve(t, write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")),
		"hung":                              serve(t, func(*net.TCPConn) { <-hang }),
		"":                                  serve(t, write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")),
	} {
		c := Conn{Addr: addr, Keep: true, Timeout: 10 * time.Second}
		if want == "hung" {
			c.Timeout = 50 * time.Millisecond
		}
		body, err := c.Do("POST", "/work/a")
		c.Close()
		switch {
		case err == nil && (want != "" || body != "body"):
			t.Errorf("want %q, answered %q", want, body)
		case err != nil && reason(err) != want:
			t.Errorf("%v is %q, want %q", err, reason(err), want)
		}
	}
	torn := Conn{Addr: serve(t, write("HTTP/1.1 200")), Timeout: 10 * time.Second}
	if _, err := torn.Do("GET", "/"); err == nil || reason(err) != errTorn.Error() {
		t.Errorf("half a header: %v", err)
	}
}

// A server that closes an idle connection under a request: other clients would
// send it again, and count nothing.
func TestNothingIsSentTwice(t *testing.T) {
	var seen atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen.Add(1)%2 == 0 {
			panic(http.ErrAbortHandler)
		}
	}))
	server.Start()
	defer server.Close()
	c := Conn{Addr: server.Listener.Addr().String(), Keep: true, Timeout: 10 * time.Second}
	defer c.Close()
	lost := 0
	for range 10 {
		if _, err := c.Do("GET", "/"); err != nil {
			lost++
		}
	}
	if seen.Load() != 10 || lost != 5 || c.Dialled != 5 {
		t.Errorf("the server saw %d requests of 10, %d lost, %d connections, want 10, 5, 5", seen.Load(), lost, c.Dialled)
	}
}

func TestConnectionsAreKeptOrNot(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/last" {
			w.Header().Set("Connection", "close")
		}
	}))
	defer server.Close()
	for _, c := range []struct {
		keep bool
		path string
		want int
	}{{true, "/", 1}, {false, "/", 3}, {true, "/last", 3}} {
		conn := Conn{Addr: server.Listener.Addr().String(), Keep: c.keep, Timeout: 10 * time.Second}
		for range 3 {
			if _, err := conn.Do("GET", c.path); err != nil {
				t.Error(err)
			}
		}
		conn.Close()
		if conn.Dialled != c.want {
			t.Errorf("keep %v, %s: %d connections, want %d", c.keep, c.path, conn.Dialled, c.want)
		}
	}
}

// What is in progress when the time is up is waited for, and counted.
func TestRunEndsWithTheLastAnswer(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var seen atomic.Int64
	all := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen.Add(1) == 30 {
			stop()
			close(all)
		}
		if strings.HasPrefix(r.URL.Path, "/work/") {
			<-all
		}
	}))
	defer server.Close()
	k := Run(ctx, Config{Addr: server.Listener.Addr().String(), KeepAlive: 2, Single: 2, Jobs: 2, Steps: 1})
	total := k.Total()
	if int64(total.Sent) != seen.Load() || total.Answered != total.Sent || len(total.Lost) > 0 {
		t.Errorf("%v, and the server saw %d", total, seen.Load())
	}
	if k.KeepAlive.Connections != 2 || k.Single.Connections != k.Single.Sent || k.Jobs.Sent != 2 || len(k.Jobs.Jobs) != 2 {
		t.Errorf("%+v", k)
	}
}

// What is lost is counted by reason, in every kind, and the load goes on.
func TestRunCountsLosses(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var seen atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := seen.Add(1)
		if n == 30 {
			stop()
		}
		if n%3 == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusOK + int(n%3)%2*400)
	}))
	defer server.Close()
	total := Run(ctx, Config{Addr: server.Listener.Addr().String(), KeepAlive: 1, Single: 1, Jobs: 1}).Total()
	n := int(seen.Load())
	closed, refused := total.Lost["closed without an answer"], total.Lost["status 600"]
	if total.Sent != n || closed != n/3 || refused != (n+2)/3 || total.Answered != n-closed-refused || len(total.Lost) != 2 {
		t.Errorf("of %d requests: %+v", n, total)
	}
	want := fmt.Sprintf("%d sent, %d answered, %d lost, %d connections (%d closed without an answer, %d status 600)",
		n, total.Answered, closed+refused, total.Connections, closed, refused)
	if total.String() != want {
		t.Errorf("%q, want %q", total, want)
	}
}
