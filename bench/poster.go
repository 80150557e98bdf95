package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxThink is the longest pause of a client between two requests.
const maxThink = 300 * time.Microsecond

// A poster sends one POST after the other, with pauses, on a connection that it
// keeps.
type poster struct {
	url    string
	client *http.Client
	// again has the transport send a request a second time on a new connection
	// if the server has said that it has not begun with it (RFC 9113, 8.7).
	// Without it none is sent twice.
	again bool
}

// newPoster returns one with a connection of its own. Over HTTP/2 it may be
// used by many at a time.
func newPoster(url string, protocols *http.Protocols) *poster {
	return &poster{
		url:    url,
		client: &http.Client{Transport: &http.Transport{Protocols: protocols, TLSClientConfig: trustAnybody()}, Timeout: stopTimeout},
		again:  protocols != nil && !protocols.HTTP1(),
	}
}

// post has each poster, in as many goroutines as streams, send until ctx ends,
// and returns what came of it. A request in progress by then is let end.
func post(ctx context.Context, posters []*poster, streams int) load {
	var mu sync.Mutex
	var answered []time.Duration
	var lost int
	began := time.Now()
	var all sync.WaitGroup
	for _, p := range posters {
		for range streams {
			all.Go(func() {
				times, failed := p.run(ctx)
				mu.Lock()
				defer mu.Unlock()
				answered, lost = append(answered, times...), lost+failed
			})
		}
	}
	all.Wait()
	took := time.Since(began)
	for _, p := range posters {
		p.client.CloseIdleConnections()
	}
	return load{
		requests: len(answered), lost: lost,
		perSecond: float64(len(answered)) / took.Seconds(),
		p99:       percentile(answered, 99),
	}
}

// run returns how long the answered requests took, and how many were lost.
func (p *poster) run(ctx context.Context) (times []time.Duration, lost int) {
	for ctx.Err() == nil {
		began := time.Now()
		if p.once() != nil {
			lost++
		} else {
			times = append(times, time.Since(began))
		}
		time.Sleep(rand.N(maxThink))
	}
	return times, lost
}

// once sends one: a body that cannot be had again is what keeps net/http from
// sending it a second time, which would hide a loss.
func (p *poster) once() error {
	const text = "not again"
	body := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	first, _ := body()
	r, err := http.NewRequest(http.MethodPost, p.url, first)
	if err != nil {
		return err
	}
	r.ContentLength = int64(len(text))
	if p.again {
		r.GetBody = body
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || string(got) != quickBody) {
		err = fmt.Errorf("answer: %s, %q", answer.Status, got)
	}
	return err
}
