package lastcall

import (
	"context"
	"io"
	"net/http"
)

// A request is everything the package adds to one HTTP request, in one
// allocation: the operation, which is also its context, the ResponseWriter and
// the body that its handler sees.
type request struct {
	Operation
	writer writer1
	body   body

	conn     *conn // nil where the handler is called without one
	server   *httpServer
	original *http.Request // not the one its handler sees, and may change
}

// conn returns the connection of a request, nil for anything else.
func (o *Operation) conn() *conn {
	if o.request == nil {
		return nil
	}
	return o.request.conn
}

// ServeHTTP serves one request as an operation. An operation of HTTP/2 ends
// when its handler returns. One of HTTP/1 ends when its response is with the
// kernel, which net/http reports as the connection's next state (see
// httpServer.state): the process ends with its last operation, and what is
// still in a buffer then is lost.
func (s *httpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(*conn)
	q := &request{conn: c, server: s, original: r}
	op := &q.Operation
	if r.URL != nil {
		op.route = r.URL.Path
	}
	op.name, op.client, op.request, op.ctx = r.Method, r.RemoteAddr, q, r.Context()
	if c != nil && r.ProtoMajor == 1 {
		defer c.returned(op)
		op.cancel, op.closer = c.cancel, c
		s.ledger.begin(op)
		c.current.Store(op)
	} else {
		op.ctx, op.cancel = context.WithCancelCause(op.ctx)
		defer op.End()
		s.ledger.begin(op)
	}

	r2 := r.WithContext(op.Context())
	if r.Body != nil && r.Body != http.NoBody {
		q.body = body{r.Body, op}
		r2.Body = &q.body
	}
	q.writer.ResponseWriter, q.writer.leaving, q.writer.ctx = w, &s.leaving, op.ctx
	if r.ProtoMajor == 1 {
		s.handler.ServeHTTP(&q.writer, r2)
	} else {
		s.handler.ServeHTTP((*writer2)(&q.writer), r2)
	}
	r.MultipartForm = r2.MultipartForm // net/http removes its files
	q.writer.finish()
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
	if c := b.op.conn(); c != nil && c.current.Load() == b.op {
		c.awaitBody()
	}
	return b.ReadCloser.Read(p)
}
