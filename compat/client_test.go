package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestAskWantsTheWholeAnswer counts a wrong answer, and none, as a loss.
func TestAskWantsTheWholeAnswer(t *testing.T) {
	answer := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		_, _ = io.WriteString(w, "ok")
		panic(http.ErrAbortHandler)
	}
	for _, c := range []struct {
		what    string
		handler http.HandlerFunc
		good    bool
	}{
		{"good", answer(200, "ok\n"), true},
		{"empty", answer(200, ""), false},
		{"bad", answer(503, "ok\n"), false},
		{"cut", cut, false},
		{"none", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
	} {
		s := httptest.NewServer(c.handler)
		if err := (web{}).ask(t.Context(), s.Listener.Addr().String(), false); (err == nil) != c.good {
			t.Errorf("%s answer: error %v", c.what, err)
		}
		s.Close()
		if err := (web{}).ask(t.Context(), s.Listener.Addr().String(), false); err == nil {
			t.Error("nobody listens, and it was answered")
		}
	}
}

// TestLoadCountsEveryLoss has a server drop every fifth request, of each kind of
// load. All that has come to it must be counted.
func TestLoadCountsEveryLoss(t *testing.T) {
	for _, keep := range []bool{true, false} {
		t.Run(map[bool]string{true: "kept", false: "each"}[keep], func(t *testing.T) {
			const enough = 500
			var sent, dropped atomic.Int64
			reached := make(chan struct{})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				n := sent.Add(1)
				if n == enough {
					close(reached)
				}
				if n%5 == 0 {
					dropped.Add(1)
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Content-Type", "application/proto") // of an empty message
			}))
			defer s.Close()
			c := connectClient{}
			end, err := c.load(t.Context(), s.Listener.Addr().String(), keep)
			if err != nil {
				t.Fatal(err)
			}
			<-reached
			got, err := end()
			if err != nil {
				t.Fatal(err)
			}
			// The answers are not the word that was sent: none is good.
			if int64(got.lost) != sent.Load() || got.answered != 0 || dropped.Load() < enough/5 {
				t.Errorf("counted %+v, of %d sent and %d dropped", got, sent.Load(), dropped.Load())
			}
		})
	}
}

// TestCallersAreEnded has the connections of a load closed with it.
func TestCallersAreEnded(t *testing.T) {
	var opened, ended atomic.Int64
	called := make(chan struct{}, 1000*connections)
	end, err := callAll(t.Context(), false, func() (caller, error) {
		opened.Add(1)
		return caller{
			call: func(context.Context, bool) error {
				select {
				case called <- struct{}{}:
				default:
				}
				return nil
			},
			end: func() { ended.Add(1) },
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-called
	got, err := end()
	if err != nil || got.answered == 0 || int64(got.answered) > opened.Load() || ended.Load() != opened.Load() || got.lost != 0 {
		t.Errorf("%+v, %v, of %d opened and %d ended", got, err, opened.Load(), ended.Load())
	}
}

// TestWrkCountsALoss has a server drop requests under wrk.
func TestWrkCountsALoss(t *testing.T) {
	var n atomic.Int64
	reached := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch i := n.Add(1); {
		case i == 500:
			close(reached)
		case i%50 == 0:
			panic(http.ErrAbortHandler)
		case i%50 == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "ok\n")
	}))
	defer s.Close()
	end, err := (web{}).load(t.Context(), strings.TrimPrefix(s.URL, "http://"), true)
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	if got, err := end(); err != nil || got.lost < 15 || got.answered < 400 {
		t.Errorf("counted %+v, %v; want at least 15 lost", got, err)
	}
}
