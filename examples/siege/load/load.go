// Package load is clients that never retry. A request that is not answered is
// counted as lost, with its reason; most HTTP clients hide just that, by
// sending it again.
package load

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says which clients there are. Each sends its next request when the
// last one is answered, or lost.
type Config struct {
	Addr      string        // of the server, HOST:PORT
	KeepAlive int           // clients that GET / on one connection, as long as it lasts
	Single    int           // clients that GET / on a new connection each time
	Jobs      int           // clients that POST /work/NAME, on one connection
	Steps     int           // parts of a job
	Step      time.Duration // between two parts of a job
	Think     time.Duration // from an answer to the next request
	Timeout   time.Duration // of one request; 0: 10 s
}

// Result is what became of the requests of one kind of client.
type Result struct {
	Sent        int
	Answered    int            // with status 200, whole
	Lost        map[string]int // everything else, by reason
	Connections int
	Jobs        []string // names of the jobs that were answered
}

// Kinds are the results by kind of client.
type Kinds struct{ KeepAlive, Single, Jobs Result }

// Run sends requests until ctx ends. Those in progress then are waited for,
// for no request of ours may end by our own hand: it returns when the last is
// answered, lost, or has spent its timeout.
func Run(ctx context.Context, c Config) Kinds {
	var wg sync.WaitGroup
	run := func(n int, keep bool, target func(who, i int) (method, path, job string)) []Result {
		results := make([]Result, n)
		for who := range n {
			wg.Go(func() {
				next := func(i int) (string, string, string) { return target(who, i) }
				results[who] = c.client(ctx, keep, next)
			})
		}
		return results
	}
	alive := func(int, int) (string, string, string) { return "GET", "/", "" }
	work := func(who, i int) (string, string, string) {
		name := fmt.Sprintf("c%dj%d", who, i)
		return "POST", fmt.Sprintf("/work/%s?steps=%d&step=%g", name, c.Steps, c.Step.Seconds()), name
	}
	keep, single, jobs := run(c.KeepAlive, true, alive), run(c.Single, false, alive), run(c.Jobs, true, work)
	wg.Wait()
	return Kinds{KeepAlive: sum(keep), Single: sum(single), Jobs: sum(jobs)}
}

// client is one client's life.
func (c Config) client(ctx context.Context, keep bool, next func(i int) (method, path, job string)) Result {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	r := Result{Lost: map[string]int{}}
	conn := &Conn{Addr: c.Addr, Keep: keep, Timeout: timeout}
	defer conn.Close()
	think := time.NewTimer(0)
	defer think.Stop()
	for i := 0; ; i++ {
		select {
		case <-think.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			r.Connections = conn.Dialled
			return r
		}
		method, path, job := next(i)
		r.Sent++
		switch _, err := conn.Do(method, path); {
		case err != nil:
			r.Lost[reason(err)]++
		default:
			r.Answered++
			if job != "" {
				r.Jobs = append(r.Jobs, job)
			}
		}
		think.Reset(c.Think)
	}
}

func sum(results []Result) Result {
	total := Result{Lost: map[string]int{}}
	for _, r := range results {
		total = total.Add(r)
	}
	return total
}

// Add returns the sum of two results.
func (r Result) Add(s Result) Result {
	lost := maps.Clone(r.Lost)
	if lost == nil {
		lost = map[string]int{}
	}
	for reason, n := range s.Lost {
		lost[reason] += n
	}
	return Result{
		Sent:        r.Sent + s.Sent,
		Answered:    r.Answered + s.Answered,
		Lost:        lost,
		Connections: r.Connections + s.Connections,
		Jobs:        slices.Concat(r.Jobs, s.Jobs),
	}
}

// Total returns the sum over all kinds.
func (k Kinds) Total() Result { return k.KeepAlive.Add(k.Single).Add(k.Jobs) }

// String returns one line for people.
func (r Result) String() string {
	text := fmt.Sprintf("%d sent, %d answered, %d lost, %d connections", r.Sent, r.Answered, r.Sent-r.Answered, r.Connections)
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(r.Lost)) {
		reasons = append(reasons, fmt.Sprintf("%d %s", r.Lost[reason], reason))
	}
	if len(reasons) > 0 {
		text += " (" + strings.Join(reasons, ", ") + ")"
	}
	return text
}
