package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/lastcall/lastcall"
)

// The three ways to say "do not cut this".
const (
	wayClass   = "class"
	waySection = "section"
	wayGate    = "gate"
)

func (s *site) work(way string) (http.Handler, error) {
	switch way {
	case wayClass:
		return s.workByClass(), nil
	case waySection:
		return s.workBySection(), nil
	case wayGate:
		return s.workByGate(), nil
	}
	return nil, fmt.Errorf("unknown way %q: there are %s, %s and %s", way, wayClass, waySection, wayGate)
}

// workByClass: the word stands at the route, and the whole request is
// protected, its answer too. The handler knows nothing of it.
func (s *site) workByClass() http.Handler {
	return lastcall.Critical(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		j, ok := s.take(w, r)
		if !ok {
			return
		}
		s.reply(w, j, s.do(r.Context(), j))
	}))
}

// workBySection: only what must not be cut is protected, from Begin to End.
// Before and after it the request may be cut.
func (s *site) workBySection() http.Handler {
	return lastcall.Expendable(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Without the request's cancellation: the section outlives a client
		// that leaves, and is cut by nothing but the deadline.
		op, err := lastcall.Begin(context.WithoutCancel(r.Context()), "set "+r.PathValue("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer op.End()
		j, ok := s.take(w, r)
		if !ok {
			return
		}
		s.reply(w, j, s.do(op.Context(), j))
	}))
}

// workByGate: as in 2014. The job runs where lastcall does not see it, and the
// lock in redis is the only sign of it; the gate in lastcall.toml asks for it
// before the worker may end. It also works for programs that import nothing,
// and it is the weakest of the three: a job that is cut cannot be told.
func (s *site) workByGate() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		j, ok := s.take(w, r)
		if !ok {
			return
		}
		done := make(chan error, 1)
		go func() { done <- s.do(context.WithoutCancel(r.Context()), j) }()
		select {
		case err := <-done:
			s.reply(w, j, err)
		case <-r.Context().Done(): // the client has left, the job goes on
		}
	})
}
