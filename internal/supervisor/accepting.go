package supervisor

import (
	"context"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
)

// acceptEvery is how often it is looked whether a worker accepts that does not
// say when it is ready; acceptLate, when it should have long ago.
const (
	acceptEvery = 20 * time.Millisecond
	acceptLate  = 250 * time.Millisecond
)

// accepting looks whether a process, or one it has started, takes connections
// from a listener: wrappers and servers that fork are asked for all of them.
func accepting(pid int, listeners []*sock.Listener) sock.Sight {
	sight := sock.AcceptsNot
	for _, pid := range proc.Family(pid) {
		for _, l := range listeners {
			switch seen := sock.Accepting(pid, l); seen {
			case sock.Accepts:
				return seen
			default:
				sight = max(sight, seen)
			}
		}
	}
	return sight
}

// guessReady waits until a life that does not say when it is ready can be taken
// for it: it waits for connections, as a look at it shows, or it has stayed up.
// Staying up says nothing of a server that can be seen not to accept yet.
func guessReady(ctx context.Context, look func() sock.Sight, listens bool, minUptime time.Duration) bool {
	up := time.Now().Add(minUptime)
	for every := acceptEvery; ; {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(every):
		}
		sight := look()
		switch late := !time.Now().Before(up); {
		case sight == sock.Accepts:
			return true
		case late && (!listens || sight == sock.Unseen):
			return true
		case late:
			every = acceptLate
		}
	}
}
