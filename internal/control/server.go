package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// maxRequest bounds what a client may send.
	maxRequest = 64 << 10
	// readTimeout and writeTimeout bound one read of a request and one write
	// of an answer, never the command in between.
	readTimeout  = 10 * time.Second
	writeTimeout = 5 * time.Second
)

func newServer(path string, l *net.UnixListener, created os.FileInfo) *Server {
	s := &Server{path: path, listener: l, created: created}
	s.http = &http.Server{
		ReadHeaderTimeout: readTimeout, MaxHeaderBytes: maxRequest, ConnState: s.account.state,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	return s
}

// Serve answers clients with h until Close, then returns nil. It is called
// once.
func (s *Server) Serve(h Handler) error {
	s.http.Handler = routes(h, &s.account)
	err := s.http.Serve(guarded{s.listener, &s.account})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve control socket: %w", err)
}

// guarded passes over connections of other users before a byte of theirs is
// read. The mode of the socket keeps them out too, until somebody changes it.
type guarded struct {
	*net.UnixListener
	account *account
}

func (l guarded) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.account.park()
			continue
		}
		if err != nil {
			return nil, err
		}
		if uid, _, err := peer(c); err == nil && mayCommand(uid) {
			l.account.taken(c)
			return c, nil
		}
		c.Close()
	}
}

func routes(h Handler, a *account) http.Handler {
	s := service{h, a}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("GET /v1/inflight", s.inflight)
	mux.HandleFunc("POST /v1/do", s.do)
	return mux
}

type service struct {
	handler Handler
	account *account
}

func (s service) status(w http.ResponseWriter, r *http.Request) {
	status, err := s.handler.Status(r.Context())
	// Lists are lists in JSON too when they are empty: jq fails on null. They
	// are copies, for what a handler returns may be its own.
	status.Listeners, status.Programs = list(status.Listeners), list(status.Programs)
	for i, p := range status.Programs {
		status.Programs[i].Workers = list(p.Workers)
	}
	reply(w, status, err)
}

func (s service) inflight(w http.ResponseWriter, r *http.Request) {
	operations, err := s.handler.Inflight(r.Context(), r.URL.Query().Get("target"))
	reply(w, list(operations), err)
}

func list[T any](s []T) []T { return append([]T{}, s...) }

// A failure is the body of an answer that is not 200.
type failure struct {
	Code  int    `json:"code"` // one of the verdicts
	Error string `json:"error"`
}

func reply(w http.ResponseWriter, answer any, err error) {
	var body []byte
	if err == nil {
		body, err = json.Marshal(answer)
	}
	if err != nil {
		var unknown *UnknownTarget
		if errors.As(err, &unknown) {
			fail(w, http.StatusNotFound, NoSuch, err)
			return
		}
		fail(w, http.StatusInternalServerError, Failed, err)
		return
	}
	write(w, http.StatusOK, body)
}

func fail(w http.ResponseWriter, status, code int, err error) {
	body, _ := json.Marshal(failure{Code: code, Error: err.Error()}) // a number and a string always encode
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	// A writer that supports no deadline has no client that could stall it.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = w.Write(append(body, '\n')) // the client has gone: nobody to tell
}

func (s service) do(w http.ResponseWriter, r *http.Request) {
	request, err := readRequest(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status, Failed, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := updates{w: w, rc: http.NewResponseController(w)}
	if request.Verb == "upgrade" {
		defer s.account.elsewhere(r.Context())()
	}
	verdict := s.handler.Do(r.Context(), request, func(p []Progress) { out.send(Update{Progress: p}) })
	out.send(Update{Verdict: &verdict})
}

func readRequest(w http.ResponseWriter, r *http.Request) (Request, error) {
	// The deadline must not outlive the body: the server watches the
	// connection while the command runs, and would take it for the client's
	// end.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(readTimeout))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return Request{}, fmt.Errorf("read request: %w", err)
	}
	var request Request
	if err := json.Unmarshal(body, &request); err != nil {
		return Request{}, fmt.Errorf("read request: %w", err)
	}
	if request.Verb == "" {
		return Request{}, errors.New("read request: it has no verb")
	}
	return request, nil
}

// updates writes the lines of a command's answer. After the verdict, and
// after a write that failed, it drops what comes.
type updates struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	mu   sync.Mutex // a handler may report from several goroutines
	done bool
}

func (u *updates) send(line Update) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done {
		return
	}
	u.done = line.Verdict != nil
	body, err := json.Marshal(line)
	if err != nil {
		u.done = true
		return
	}
	// A client that was stopped must not hold up the supervisor.
	_ = u.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err = u.w.Write(append(body, '\n')); err == nil {
		err = u.rc.Flush()
	}
	if err != nil {
		u.done = true
	}
}
