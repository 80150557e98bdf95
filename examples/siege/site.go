package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall/lastcall"
)

// A site is what the handlers share.
type site struct {
	slot  int
	data  string // the folder of the sets
	locks *locks
}

// routes returns the URLs. What may be cut and what may not is one word at a
// route; the job has three ways to say it, in ways.go.
func (s *site) routes(way string) (http.Handler, error) {
	work, err := s.work(way)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.alive)
	mux.Handle("POST /work/{name}", work)
	mux.Handle("GET /big", lastcall.Expendable(http.HandlerFunc(s.big)))
	mux.HandleFunc("POST /stuck/{name}", s.stuck)
	mux.HandleFunc("POST /crash/{code}", s.crash)
	return mux, nil
}

func (s *site) alive(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%d %d\n", s.slot, os.Getpid())
}

// take reads a job from the request and takes its lock. If it cannot it has
// answered, and returns false.
func (s *site) take(w http.ResponseWriter, r *http.Request) (job, bool) {
	j, err := s.parse(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return job{}, false
	}
	return j, s.lock(w, r, j.name)
}

func (s *site) lock(w http.ResponseWriter, r *http.Request, name string) bool {
	err := s.locks.acquire(r.Context(), name)
	switch {
	case errors.Is(err, errBusy):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
	return err == nil
}

func (s *site) parse(r *http.Request) (job, error) {
	j := job{dir: s.data, name: r.PathValue("name"), steps: 5, step: 200 * time.Millisecond}
	if !isWord(j.name) { // it becomes the name of a folder
		return job{}, fmt.Errorf("a name is letters, digits and _, not %q", j.name)
	}
	if v := r.FormValue("steps"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return job{}, fmt.Errorf("steps is a number, not %q", v)
		}
		j.steps = n
	}
	if v := r.FormValue("step"); v != "" {
		seconds, err := strconv.ParseFloat(v, 64)
		if err != nil || !(seconds >= 0 && seconds <= 3600) {
			return job{}, fmt.Errorf("step is a number of seconds, not %q", v)
		}
		j.step = time.Duration(seconds * float64(time.Second))
	}
	return j, nil
}

func isWord(name string) bool {
	notWord := func(r rune) bool {
		return !(r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	return name != "" && strings.IndexFunc(name, notWord) < 0
}

// do runs a job and gives its lock back, whatever became of it.
func (s *site) do(ctx context.Context, j job) error {
	err := j.run(ctx)
	// The lock is to go also when the context is cut.
	return errors.Join(err, s.locks.release(context.WithoutCancel(ctx), j.name))
}

// reply ends a job's request. The answer is on its way when it returns, not
// only when the handler does: where the section has protected the job, nothing
// protects the request behind it.
func (s *site) reply(w http.ResponseWriter, j job, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	text := fmt.Sprintf("done %s by %d\n", j.name, s.slot)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write([]byte(text)) // a client that has left needs no answer
	_ = http.NewResponseController(w).Flush()
}

// big is a handler that nobody minds cutting: a large body, dribbled. It takes
// no lock.
func (s *site) big(w http.ResponseWriter, r *http.Request) {
	chunks, err := strconv.Atoi(r.FormValue("chunks"))
	if err != nil {
		chunks = 100
	}
	chunk := []byte(strings.Repeat("z", 16384))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range chunks {
		if _, err := w.Write(chunk); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return // lastcall breaks the response off
		}
	}
}

// stuck takes a lock that is never given back, and holds on to the worker.
func (s *site) stuck(w http.ResponseWriter, r *http.Request) {
	if !s.lock(w, r, r.PathValue("name")) {
		return
	}
	select {
	case <-time.After(time.Hour):
	case <-r.Context().Done():
		// To return without a word would be a 200.
		http.Error(w, context.Cause(r.Context()).Error(), http.StatusServiceUnavailable)
	}
}

func (s *site) crash(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil {
		http.Error(w, "the code is a number", http.StatusBadRequest)
		return
	}
	os.Exit(code)
}
