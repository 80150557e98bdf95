package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// rollFor is how long a load is rolled at least, by whole rolls.
const rollFor = 2 * time.Second

// A result is what an examination has found.
type result struct {
	server
	number string   // its version
	ready  []string // what each program was taken for ready by, in their order
	kept   tally    // connections that are kept, during rolls
	each   tally    // a connection for each request, during rolls
	crash  tally    // requests from the death of a worker to its replacement
	stop   stopEnd
	faults []string // what is not as it should be
}

func (r *result) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// examine runs a server through all steps. What goes wrong is a fault of the
// result; after one the steps that need its outcome are left out.
func (l *lab) examine(ctx context.Context, s server) (r result) {
	if s.client == nil {
		s.client = web{}
	}
	r.server = s
	if err := l.steps(ctx, &r); err != nil {
		r.fault("%v", err)
	}
	if left := orphans(); len(left) > 0 {
		r.fault("left behind: %s", strings.Join(left, ", "))
	}
	r.judge()
	return r
}

func (l *lab) steps(ctx context.Context, r *result) (err error) {
	if err := r.prepare(ctx, l); err != nil {
		return err
	}
	if r.number, err = r.versionNumber(ctx, l); err != nil {
		return err
	}
	t, err := l.start(ctx, r.server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close(l.logs)) }()
	if r.ready, err = t.evidence(r.packaged); err != nil {
		return err
	}
	if r.kept, err = t.roll(ctx, r.client, true); err != nil {
		return fmt.Errorf("roll, connections kept: %w", err)
	}
	if r.each, err = t.roll(ctx, r.client, false); err != nil {
		return fmt.Errorf("roll, a connection for each request: %w", err)
	}
	if r.crash, err = t.crash(ctx, r.client); err != nil {
		return err
	}
	if r.stop, err = t.stop(ctx, r.client); err != nil {
		return err
	}
	return nil
}

// evidence returns by what the first life of each program was taken for ready.
// The one that uses the package is seen to accept an instant before it says so
// itself: sometimes that is noticed.
func (t *site) evidence(packaged string) (by []string, err error) {
	all, err := t.entries()
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		program, first := strings.CutSuffix(e.Worker, ".0")
		if !first || e.Msg != "ready" {
			continue
		}
		if program == packaged && e.By == "accepting" {
			e.By = "package"
		}
		by = append(by, program+": "+e.By)
	}
	if len(by) == 0 {
		return nil, errors.New("the log does not say by what the server was taken for ready")
	}
	if len(by) == 1 { // there is nothing but the server
		by[0] = strings.TrimPrefix(by[0], "web: ")
	}
	return by, nil
}

// roll restarts the server under a load until rollFor has passed.
func (t *site) roll(ctx context.Context, c client, keep bool) (tally, error) {
	end, err := c.load(ctx, t.addr, keep)
	if err != nil {
		return tally{}, err
	}
	pause(ctx)
	for began := time.Now(); err == nil && time.Since(began) < rollFor; {
		err = t.restart(ctx)
	}
	pause(ctx)
	got, ended := end()
	if err = errors.Join(err, ended); err == nil && got.answered == 0 {
		err = fmt.Errorf("the load got no answer: %s", t.said())
	}
	return got, err
}

// pause lets a load begin, and go on for a while after the last roll.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(300 * time.Millisecond):
	}
}

// crash kills one of the workers, and asks until it is replaced: its siblings
// are to serve.
func (t *site) crash(ctx context.Context, c client) (asked tally, err error) {
	st, err := t.status(ctx)
	if err != nil {
		return asked, err
	}
	lives := st.web("web.0")
	if len(lives) != 1 || lives[0].PID == 0 {
		return asked, fmt.Errorf("crash: slot 0 has not one life: %v", lives)
	}
	killed := lives[0]
	if err := syscall.Kill(killed.PID, syscall.SIGKILL); err != nil {
		return asked, fmt.Errorf("crash: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	replaced := func(w life) bool { return w.Life > killed.Life && w.State == "ready" }
	for {
		if err := c.ask(ctx, t.addr, false); err != nil {
			asked.lost++
		} else {
			asked.answered++
		}
		st, err := t.status(ctx)
		if err != nil {
			return asked, fmt.Errorf("crash: wait for the replacement: %w: %s", err, t.said())
		}
		if slices.ContainsFunc(st.web("web.0"), replaced) {
			return asked, nil
		}
	}
}

// judge holds what was found against what is expected.
func (r *result) judge() {
	for _, c := range []struct {
		what, reason string
		got          tally
	}{
		{"rolls, connections kept", r.losesKept, r.kept},
		{"rolls, a connection for each request", r.losesEach, r.each},
		{"a crash", r.losesCrash, r.crash},
	} {
		if c.got.lost > 0 && c.reason == "" {
			r.fault("%s: %d requests lost of %d, and the table expects none", c.what, c.got.lost, c.got.lost+c.got.answered)
		}
	}
	e := r.stop
	if e.slow != nil {
		r.fault("stop: the request in progress was not answered: %v", e.slow)
	}
	if e.code != 0 {
		r.fault("stop: lastcall ended with exit code %d", e.code)
	}
	if len(e.left) > 0 {
		r.fault("stop: left behind: %s", strings.Join(e.left, ", "))
	}
	if e.taken != nil {
		r.fault("stop: its address is not free: %v", e.taken)
	}
	if e.order != nil {
		r.fault("stop: %v", e.order)
	}
}

// String is the verdict in one line.
func (r result) String() string {
	return fmt.Sprintf("%s: ready by %s; lost %s kept, %s each; crash: lost %s; stop: %s",
		r.number, strings.Join(r.ready, ", "), r.kept, r.each, r.crash, r.stop)
}

func (t tally) String() string { return fmt.Sprintf("%d of %d", t.lost, t.lost+t.answered) }

func (e stopEnd) String() string {
	answer := "answered"
	if e.slow != nil {
		answer = "cut"
	}
	return fmt.Sprintf("%s, exit code %d", answer, e.code)
}
