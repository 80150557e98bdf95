package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxThink is the longest pause of a client between two requests.
const maxThink = 300 * time.Microsecond

// post has clients send one POST after the other until ctx ends, and returns
// what came of them. A request in progress by then is let end.
func post(ctx context.Context, addr string, clients int) load {
	transport := &http.Transport{MaxIdleConns: clients, MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: stopTimeout}
	var answered, lost atomic.Int64
	began := time.Now()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for ctx.Err() == nil {
				if postOnce(client, addr) != nil {
					lost.Add(1)
				} else {
					answered.Add(1)
				}
				time.Sleep(rand.N(maxThink))
			}
		})
	}
	all.Wait()
	l := load{requests: int(answered.Load()), lost: int(lost.Load())}
	l.perSecond = float64(l.requests) / time.Since(began).Seconds()
	return l
}

// postOnce sends one, once: a body that cannot be had again is what keeps
// net/http from sending it a second time, which would hide a loss.
func postOnce(client *http.Client, addr string) error {
	const text = "not again"
	r, err := http.NewRequest(http.MethodPost, "http://"+addr+"/", io.NopCloser(strings.NewReader(text)))
	if err != nil {
		return err
	}
	r.ContentLength = int64(len(text))
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || string(body) != quickBody) {
		err = fmt.Errorf("answer: %s, %q", answer.Status, body)
	}
	return err
}
