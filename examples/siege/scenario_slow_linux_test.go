package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dial opens a connection that the test reads and writes by hand.
func (s *stage) dial(control func(fd uintptr)) net.Conn {
	s.t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		if control == nil {
			return nil
		}
		return c.Control(control)
	}}
	conn, err := d.DialContext(s.t.Context(), "tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (s *stage) write(conn net.Conn, text string) {
	s.t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Fatal(err)
	}
}

// remainder reads until the server closes, which it must do in time. A reset
// is returned as an error.
func (s *stage) remainder(conn net.Conn) (string, error) {
	s.t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(endLimit)); err != nil {
		s.t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Errorf("%s is left hanging", conn.LocalAddr())
	}
	return string(text), err
}

// A client that has sent half a header when the drain begins has fresh_grace
// for the rest. One that has sent half a body is cut when it stalls; a slow one
// that does not is served.
func TestS15HalfSentRequests(t *testing.T) {
	t.Parallel()
	eachProgram(t, halfSentRequests)
}

func halfSentRequests(t *testing.T, in program) {
	t.Parallel()
	s := enter(t, setup{in: in, drain: "60s", keys: "fresh_grace = \"300ms\"\nstall_timeout = \"1s\""})
	header, body, slow := s.dial(nil), s.dial(nil), s.dial(nil)
	s.write(header, "POST /work/half?steps=1&step=0 HTTP/1.1\r\nHost: siege\r\nContent-")
	form := "steps=1&step=0.01&pad=" + strings.Repeat("p", 28)
	post := "POST /work/%s HTTP/1.1\r\nHost: siege\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
	s.write(body, fmt.Sprintf(post, "stalled", len(form))+form[:10])
	s.write(slow, fmt.Sprintf(post, "slow", len(form)))
	s.awaitWork("POST /work/", "reading", 2)
	s.signal(syscall.SIGTERM)
	trickled := make(chan error, 1)
	go func() { trickled <- trickle(slow, form, 100*time.Millisecond) }() // five times stall_timeout

	if text, err := s.remainder(header); text != "" || err != nil {
		t.Errorf("half a header was answered %q, %v, want the connection closed", text, err)
	}
	if text, _ := s.remainder(body); strings.Contains(text, " 200 ") {
		t.Errorf("half a body was answered %q", text)
	}
	if err := <-trickled; err != nil {
		t.Errorf("the slow body was not taken: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil || resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("the slow body was answered %+v, %v, want 200 and close", resp, err)
	}
	s.ends(5, "POST /work/")
	if n := parts(t, s.dir, "siege_data", "slow"); n != 1 {
		t.Errorf("the job of the slow body has %d parts, want 1", n)
	}
	for _, name := range []string{"half", "stalled"} {
		if n := parts(t, s.dir, "siege_data", name); n != -1 {
			t.Errorf("the job %s was begun without its request", name)
		}
	}
}

// trickle writes a text byte by byte.
func trickle(conn net.Conn, text string, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range text {
		<-tick.C
		if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// A client that has stopped to read the answer of a critical request is cut
// when it has stalled, long before the deadline.
func TestS16ReaderThatStops(t *testing.T) {
	t.Parallel()
	eachProgram(t, readerThatStops)
}

func readerThatStops(t *testing.T, in program) {
	t.Parallel()
	s := enter(t, setup{in: in, drain: "60s", keys: `stall_timeout = "1s"`})
	conn := s.dial(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) // a large one only takes longer to fill
	})
	// A bad name is told to the client: the answers are as large as the
	// requests. Nobody reads them, so in the end nobody reads these either.
	request := "POST /work/" + strings.Repeat(".", 1<<15) + " HTTP/1.1\r\nHost: siege\r\nContent-Length: 0\r\n\r\n"
	stopped := false
	for i := 0; i < 2000 && !stopped; i++ {
		if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err := io.WriteString(conn, request)
		stopped = errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !stopped {
			t.Fatal(err)
		}
	}
	if !stopped {
		t.Fatal("the server reads on though nobody takes its answers")
	}
	s.awaitWork("POST /work/", "", 1)
	began := time.Now()
	s.signal(syscall.SIGTERM)
	s.ends(5, "POST /work/")
	if took := s.endAt.Sub(began); took < time.Second || took > endLimit {
		t.Errorf("it took %v, want more than the patience of 1s, and far less than the deadline of 60s", took)
	}
}

// A request that comes when the last call has been made, and protects nothing of
// itself but what it may not begin any more, is told so: by 503, not as a
// mistake of the server's. In Go what a request begins is admitted with it.
func TestLastCallInPython(t *testing.T) {
	t.Parallel()
	s := enter(t, setup{in: program{python: true}, way: waySection, drain: "60s", keys: `fresh_grace = "30s"`})
	bad, late := s.dial(nil), s.dial(nil)
	post := "POST /work/%s HTTP/1.1\r\nHost: siege\r\nContent-Length: 0\r\n\r\n"
	s.write(bad, fmt.Sprintf(post, "a?steps=many"))
	if resp, err := http.ReadResponse(bufio.NewReader(bad), nil); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("many steps were answered %+v, %v, want 400", resp, err)
	}
	s.signal(syscall.SIGTERM)
	s.awaitLog(entry{Msg: "closed", Listener: "web"})
	s.write(late, fmt.Sprintf(post, "late"))
	resp, err := http.ReadResponse(bufio.NewReader(late), nil)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !resp.Close {
		t.Errorf("it was answered %+v, %v, want 503 and close", resp, err)
	}
	s.ends(0, "")
	if n := s.count("Traceback"); n > 0 {
		t.Errorf("the log has %d tracebacks", n)
	}
}
