package lastcall

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// A request is everything the package adds to an HTTP request without a body,
// in one allocation: the operation, which is also its context, and the
// ResponseWriter that its handler sees.
type request struct {
	Operation
	writer writer1
	conn   *conn // nil where the handler is called without one
	server *httpServer
	host   string
}

// ServeHTTP serves one request as an operation. An operation of HTTP/2 ends
// when its handler returns. One of HTTP/1 ends when its response is with the
// kernel, which net/http reports as the connection's next state (see
// httpServer.state): the process ends with its last operation, and what is
// still in a buffer then is lost.
func (s *httpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(*conn)
	q := &request{conn: c, server: s, host: r.Host}
	q.writer.ResponseWriter, q.writer.request = w, q
	op := &q.Operation
	if r.URL != nil {
		op.path = r.URL.Path
	}
	op.name, op.subject, op.ctx = r.Method, q, r.Context()
	if c != nil && r.ProtoMajor == 1 {
		defer c.returned(op)
		op.cancel = c.cancel
		s.ledger.begin(op)
		c.current.Store(op)
	} else {
		op.ctx, op.cancel = context.WithCancelCause(op.ctx)
		defer op.End()
		s.ledger.begin(op)
	}
	if r.ProtoMajor == 1 {
		s.hand(&q.writer, r, op)
	} else {
		s.hand((*writer2)(&q.writer), r, op)
	}
	q.writer.finish()
}

// hand gives a request to the application's handler.
func (s *httpServer) hand(w http.ResponseWriter, r *http.Request, op *Operation) {
	if r.Body == nil || r.Body == http.NoBody {
		// In place: net/http has no more use for the context, and a copy on
		// the heap would double what the package costs a request.
		*r = *r.WithContext(op.Context())
		s.handler.ServeHTTP(w, r)
		return
	}
	r2 := r.WithContext(op.Context())
	r2.Body = &body{r.Body, op} // not r's own, by whose type net/http knows what is left in it
	s.handler.ServeHTTP(w, r2)
	r.MultipartForm = r2.MultipartForm // net/http removes its files
}

// connOf returns the connection of a request, nil for anything else.
func (o *Operation) connOf() *conn {
	if q, ok := o.subject.(*request); ok {
		return q.conn
	}
	return nil
}

func (q *request) client() string {
	if q.conn == nil {
		return ""
	}
	return addrString(q.conn.RemoteAddr())
}

// closer returns the connection of HTTP/1, which has no other request.
func (q *request) closer() io.Closer {
	if q.conn == nil || q.conn.current.Load() != &q.Operation {
		return nil
	}
	return q.conn
}

// route returns the pattern by which the request was dispatched, where that can
// be found out. A ServeMux writes the pattern where only its handler may read
// it, so it is asked again: that costs those who look, not those who serve.
func (q *request) route(path string) string {
	if mux, ok := q.server.handler.(*http.ServeMux); ok {
		r := &http.Request{Method: q.name, Host: q.host, URL: &url.URL{Path: path}}
		if _, pattern := mux.Handler(r); pattern != "" {
			return patternPath(pattern)
		}
	}
	return path
}

// A body tells when the handler waits for its client.
type body struct {
	io.ReadCloser
	op *Operation
}

// Read reads from the request's body. During a drain a client that sends
// nothing is not waited for longer than the stall timeout.
func (b *body) Read(p []byte) (int, error) {
	if b.op.state.CompareAndSwap(stateRunning, stateReading) {
		defer b.op.state.CompareAndSwap(stateReading, stateRunning)
	}
	if c := b.op.connOf(); c != nil && c.current.Load() == b.op {
		c.awaitBody()
	}
	return b.ReadCloser.Read(p)
}
