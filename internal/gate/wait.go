package gate

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// What the zero Every of a gate and the zero Timeout of any question mean.
const (
	DefaultEvery   = time.Second
	DefaultTimeout = 2 * time.Second
)

// Wait asks q at once and then each every (0: DefaultEvery), each time for at
// the most timeout (0: DefaultTimeout), until the answer is go: then it returns
// nil. When ctx ends first it returns ctx.Err() without waiting for an Ask that
// still runs. Before it goes on waiting it calls report, from its own
// goroutine, with what it waits for, one line, whenever that has changed;
// report may be nil. It does not close q.
//
// An Ask that fails, panics or overruns its time counts as "not yet". A second
// one is never begun before the first has come back: a question that hangs,
// as a path on a dead network file system does, costs one goroutine and not
// one each second.
func Wait(ctx context.Context, q Question, every, timeout time.Duration, report func(waitingFor string)) error {
	if every <= 0 {
		every = DefaultEvery
	}
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	a := asker{q: q}
	said := ""
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		waiting := a.ask(ctx, timeout)
		if waiting == "" {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if waiting != said && report != nil {
			report(waiting)
		}
		said = waiting
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// An asker asks one question again and again, never twice at once.
type asker struct {
	q    Question
	late chan string // of an Ask that overran; nil: none
}

// ask asks once and returns what is waited for, "" for go. It returns when
// timeout is over, twice that after an Ask that overran, or when ctx ends,
// whatever Ask does.
func (a *asker) ask(ctx context.Context, timeout time.Duration) string {
	silent := fmt.Sprintf("no answer within %v", timeout)
	if !a.settled(ctx, timeout) {
		return silent
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer := make(chan string, 1)
	go askOnce(ctx, a.q, answer)
	select {
	case waiting := <-answer:
		if waiting != "" && ctx.Err() != nil {
			return silent // the same words, whoever notices the end first
		}
		return waiting
	case <-ctx.Done():
		a.late = answer
		return silent
	}
}

// settled waits for an Ask that overran and says whether it has come back.
// What it answers is not used: it is about a moment long gone.
func (a *asker) settled(ctx context.Context, timeout time.Duration) bool {
	if a.late == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case <-a.late:
		a.late = nil
		return true
	case <-ctx.Done():
		return false
	}
}

// askOnce asks and sends exactly one text, "" for go, whatever becomes of Ask:
// also when it panics or ends its goroutine (runtime.Goexit).
func askOnce(ctx context.Context, q Question, answer chan<- string) {
	waiting := "the question did not return"
	defer func() {
		if r := recover(); r != nil {
			waiting = oneLine(fmt.Sprintf("the question panicked: %v", r))
		}
		answer <- waiting
	}()
	waitingFor, err := q.Ask(ctx)
	switch {
	case err != nil:
		waiting = oneLine("cannot ask: " + err.Error())
	case waitingFor != "":
		waiting = oneLine(waitingFor)
	default:
		waiting = ""
	}
}

// oneLine returns the first line of s that says something, without control
// characters and cut to what fits a status line; never "".
func oneLine(s string) string {
	const most = 200
	for line := range strings.Lines(s) {
		line = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, line)
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if r := []rune(line); len(r) > most {
			line = string(r[:most]) + "..."
		}
		return line
	}
	return "something it does not name"
}
