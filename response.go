package lastcall

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
)

// A writer decides, when the header of a response is about to be written,
// whether it says that the connection closes after it. That is all it changes.
// net/http does as the header says: it closes, or sends GOAWAY for HTTP/2. The
// server's own switch for it, SetKeepAlivesEnabled(false), would close the idle
// connections under the requests that are on their way.
type writer struct {
	http.ResponseWriter
	request *request
	decided bool
	late    bool // something was written after the request was cut
}

// Writer1 has what the ResponseWriter of HTTP/1 has, writer2 what that of
// HTTP/2 has, so that a handler that asks for an interface gets the answer it
// would get without us.
type (
	writer1 struct{ writer }
	writer2 writer1
)

func (w *writer) decide() {
	leaving := w.request.server.leaving.Load()
	if leaving && w.wasCut() {
		w.late = true
	}
	if w.decided {
		return
	}
	w.decided = true
	if leaving && !w.staying() {
		sayClose(w.Header())
	}
}

// staying reports whether the client may go on using the connection.
func (w *writer) staying() bool {
	c := w.request.closer()
	return c != nil && w.request.conn.staying()
}

func (w *writer) wasCut() bool { return context.Cause(w.request.ctx) == ErrCut }

// finish ends the response of a handler that has returned. A handler that was
// cut and has written nothing since may have stopped half way, as it should;
// net/http would end the response well, and its client take it for whole. So
// the response is broken off, or says 503 if nothing of it has gone yet.
func (w *writer) finish() {
	switch {
	case !w.request.server.leaving.Load() || !w.wasCut():
		w.decide()
	case !w.decided:
		http.Error(w, ErrCut.Error(), http.StatusServiceUnavailable)
	case !w.late:
		panic(http.ErrAbortHandler) // net/http's way to break off, which it does not log
	}
}

// sayClose keeps what the application says in the field: a 426, for one, has to
// name the upgrade.
func sayClose(h http.Header) {
	if v := h.Get("Connection"); v == "" || strings.EqualFold(v, "keep-alive") {
		h.Set("Connection", "close")
		return
	}
	h["Connection"] = append([]string{"close"}, h["Connection"]...)
}

// WriteHeader writes the header. Informational ones are not the response's, and
// the one that switches protocols must say "Connection: Upgrade".
func (w *writer) WriteHeader(code int) {
	if code >= 200 {
		w.decide()
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write writes to the response.
func (w *writer) Write(p []byte) (int, error) {
	w.decide()
	return w.ResponseWriter.Write(p)
}

// WriteString writes to the response.
func (w *writer) WriteString(s string) (int, error) {
	w.decide()
	return io.WriteString(w.ResponseWriter, s)
}

// Flush sends what is buffered, as http.Flusher.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController looks for first.
func (w *writer) FlushError() error {
	w.decide()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// CloseNotify is http.CloseNotifier, which is deprecated, and asserted without
// a look by middleware that is still about.
func (w *writer) CloseNotify() <-chan bool {
	if n, ok := w.ResponseWriter.(interface{ CloseNotify() <-chan bool }); ok {
		return n.CloseNotify()
	}
	return make(chan bool)
}

// Unwrap gives http.ResponseController the rest: deadlines, full duplex.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ReadFrom copies src to the response, by sendfile if it is a file.
func (w *writer1) ReadFrom(src io.Reader) (int64, error) {
	w.decide()
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(src)
	}
	return io.Copy(onlyWriter{w.ResponseWriter}, src)
}

// Hijack hands over the connection, as http.Hijacker.
func (w *writer1) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.decided, w.late = true, true // what follows is not a response
	}
	return c, rw, err
}

// Push is http.Pusher.
func (w *writer2) Push(target string, opts *http.PushOptions) error {
	if p, ok := w.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

// onlyWriter hides a ReadFrom that would call itself.
type onlyWriter struct{ io.Writer }
