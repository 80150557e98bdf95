package lastcall

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
)

// BenchmarkPrice is what the package adds to a request where there is no
// kernel whose moods are larger than that: one connection, on which one request
// follows the other in memory. Its deadlines are those of a real socket, since
// part of the price is how many are set.
func BenchmarkPrice(b *testing.B) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	b.Run("bare", func(b *testing.B) {
		c := newScript(b)
		exchange(b, &http.Server{Handler: h}, c, c)
	})
	b.Run("lastcall", func(b *testing.B) {
		srv := &http.Server{Handler: h}
		s := newHTTPServer(srv, newLedger(), &listener{}, slog.New(slog.DiscardHandler))
		srv.Handler, srv.ConnContext, srv.ConnState = s, s.context, s.state
		c := newScript(b)
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
	net.Conn // on which nothing ever comes
	left     int
	read     chan struct{} // closed when all have been
}

func newScript(b *testing.B) *script {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	return &script{Conn: server, left: b.N, read: make(chan struct{})}
}

func (s *script) Read(p []byte) (int, error) {
	const request = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
	if len(p) < len(request) { // net/http listens for a client that goes away
		return s.Conn.Read(p)
	}
	if s.left == 0 {
		close(s.read)
		return s.Conn.Read(p) // until it is closed
	}
	s.left--
	return copy(p, request), nil
}

func (s *script) Write(p []byte) (int, error) { return len(p), nil }

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
