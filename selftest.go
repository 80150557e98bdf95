package lastcall

import (
	"bufio"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// That nothing of the next request has been read is told from the calls that
// net/http makes (beforeRead), and those are nobody's promise. So before a
// worker says that it can move connections it has its own net/http serve a few
// of them in memory, cut where the rule could go wrong, and compares what the
// rule says with what it knows.

// errOtherHTTP says that connections must not be moved with this net/http.
var errOtherHTTP = errors.New("net/http does not read as this package knows it: connections are drained, not moved")

const (
	testHeader  = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
	testTimeout = 5 * time.Second // of what takes a millisecond
)

// testIdle returns an error unless a connection counts as idle exactly if no
// byte of a second request has come; with h2c also where net/http looks for the
// beginning of HTTP/2 first, which it does by other reads.
func testIdle(h2c bool) error {
	kinds := []*http.Protocols{nil}
	if h2c {
		both := new(http.Protocols)
		both.SetHTTP1(true)
		both.SetUnencryptedHTTP2(true)
		kinds = append(kinds, both)
	}
	for _, protocols := range kinds {
		for _, cut := range testCuts() {
			idle, err := idleAfter(testHeader[:cut], protocols)
			if err != nil {
				return err
			}
			if idle != (cut == 0) {
				return errOtherHTTP
			}
		}
	}
	return nil
}

// speaksH2C reports whether a server also speaks HTTP/2 without TLS.
func (s Server) speaksH2C() bool {
	return s.HTTP != nil && s.HTTP.Protocols != nil && s.HTTP.Protocols.UnencryptedHTTP2()
}

// testCuts returns how much of a second request's header to send: nothing, less
// and more than the four bytes that net/http waits for, and each line, with and
// without its end.
func testCuts() []int {
	cuts := []int{0, 1, 3, 4, 5}
	for i, b := range testHeader {
		if b == '\n' && i+1 < len(testHeader) {
			cuts = append(cuts, i, i+1)
		}
	}
	return append(cuts, len(testHeader)-1)
}

// idleAfter sends a whole request with the beginning of another behind it, and
// returns whether the connection counts as idle when the first is answered and
// the server waits for more.
func idleAfter(begun string, protocols *http.Protocols) (bool, error) {
	client, server := net.Pipe()
	defer client.Close()
	waits := make(chan struct{}, 64) // more than a request has reads
	one := &oneListener{conn: make(chan net.Conn, 1), addr: server.LocalAddr()}
	l := &listener{Listener: one, wake: make(chan struct{}, 1)}
	s := newHTTPServer(&http.Server{
		Handler:   http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }),
		ErrorLog:  log.New(io.Discard, "", 0),
		Protocols: protocols,
	}, newLedger(), l, nil)
	one.conn <- &watchedConn{server, waits}
	go s.serve()
	defer l.Close()

	if err := client.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		return false, err
	}
	go io.WriteString(client, testHeader+"ab"+begun)
	response, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		return false, errOtherHTTP
	}
	return s.waitsIdle(waits)
}

// waitsIdle waits until the server's only connection waits in a Read that came
// after its response, and returns whether it is idle then.
func (s *httpServer) waitsIdle(waits <-chan struct{}) (bool, error) {
	limit := time.After(testTimeout)
	for {
		select {
		case <-waits:
		case <-limit:
			return false, errOtherHTTP
		}
		s.mu.Lock()
		for c := range s.conns {
			c.mu.Lock()
			phase := c.phase.Load()
			waiting := c.method != "" && (phase == header || phase == idle && c.reads > 0)
			c.mu.Unlock()
			if waiting {
				s.mu.Unlock()
				return phase == idle, nil
			}
		}
		s.mu.Unlock()
	}
}

// A watchedConn tells when a Read begins that has to wait.
type watchedConn struct {
	net.Conn
	waits chan<- struct{}
}

func (c *watchedConn) Read(p []byte) (int, error) {
	select {
	case c.waits <- struct{}{}:
	default:
	}
	return c.Conn.Read(p)
}

// A oneListener accepts one connection.
type oneListener struct {
	conn chan net.Conn
	addr net.Addr
}

func (l *oneListener) Accept() (net.Conn, error) {
	c, open := <-l.conn
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *oneListener) Close() error {
	close(l.conn)
	return nil
}

func (l *oneListener) Addr() net.Addr { return l.addr }
