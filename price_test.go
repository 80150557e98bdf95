package lastcall

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// BenchmarkPrice is what the package adds to a request where there is no
// kernel whose moods are larger than that: one connection in memory, on which
// one request follows the other.
func BenchmarkPrice(b *testing.B) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	b.Run("bare", func(b *testing.B) {
		c := newScript(b.N)
		exchange(b, &http.Server{Handler: h}, c, c)
	})
	b.Run("lastcall", func(b *testing.B) {
		srv := &http.Server{Handler: h}
		s := newHTTPServer(srv, newLedger(), &listener{}, slog.New(slog.DiscardHandler))
		srv.Handler, srv.ConnContext, srv.ConnState = s, s.context, s.state
		c := newScript(b.N)
		exchange(b, srv, c, s.connect(c))
	})
}

func exchange(b *testing.B, srv *http.Server, s *script, c net.Conn) {
	b.ReportAllocs()
	b.ResetTimer()
	l := &oneConn{conn: c, closed: make(chan struct{})}
	go srv.Serve(l)
	<-s.read
	b.StopTimer()
	if err := srv.Close(); err != nil {
		b.Fatal(err)
	}
}

// A script is a connection whose client sends the same request a number of
// times, each when the last has been answered.
type script struct {
	left   int
	read   chan struct{} // closed when all have been
	closed chan struct{}
}

func newScript(n int) *script {
	return &script{left: n, read: make(chan struct{}), closed: make(chan struct{})}
}

func (s *script) Read(p []byte) (int, error) {
	const request = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
	if len(p) < len(request) { // net/http listens for a client that goes away
		return 0, notYet{}
	}
	if s.left == 0 {
		close(s.read)
		<-s.closed
		return 0, io.EOF
	}
	s.left--
	return copy(p, request), nil
}

func (s *script) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

type notYet struct{}

func (notYet) Error() string   { return "nothing has come" }
func (notYet) Timeout() bool   { return true }
func (notYet) Temporary() bool { return true }

// A oneConn is a listener to which one client comes.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }
