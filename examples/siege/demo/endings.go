package demo

import (
	"fmt"
	"time"
)

// An ending is the moment a process was seen to end; zero if it was not.
type ending struct {
	process
	at time.Time
}

// watchEndings begins to watch and returns a function that waits for the end
// of all, at most for the limit. The endings are in the order of the
// processes. One goroutine watches them all, so that a process that ends after
// another is never seen before it, however busy the machine is.
func watchEndings(tree []process) (func(limit time.Duration) []ending, error) {
	endings := make([]ending, len(tree))
	for i, p := range tree {
		endings[i].process = p
	}
	next, err := openEndings(tree)
	if err != nil {
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	enough, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for left := len(tree); left > 0; {
			ended := next()
			now := time.Now() // one for all: which of them was first is not known
			for _, i := range ended {
				endings[i].at = now
			}
			left -= len(ended)
			select {
			case <-enough:
				return
			default:
			}
		}
	}()
	return func(limit time.Duration) []ending {
		select {
		case <-done:
		case <-time.After(limit):
			close(enough)
			<-done
		}
		return endings
	}, nil
}

// pollTime bounds how long next waits, so that the watching can be ended.
const pollTime = 50 * time.Millisecond
