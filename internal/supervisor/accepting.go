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

// firstLook is when a life is looked at first. Where its siblings say when they
// are ready, so will this one, in a moment: what is seen before that lacks what
// it can, above all to take connections, which would go to others for good.
func (s *Supervisor) firstLook(l *life) time.Duration {
	for _, sibling := range s.lives {
		if sibling.hello && sibling.id.Program == l.id.Program {
			return acceptLate
		}
	}
	return acceptEvery
}

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

// A guess is the waiting for the readiness of a life by looking at it.
type guess struct {
	look    func() sock.Sight
	first   time.Duration // until the first look
	listens bool
	strict  bool      // nothing counts but being seen to accept
	up      time.Time // from then on it has stayed up
	lacking func(what string)
}

// wait returns true when the life can be taken for ready: it waits for
// connections, or it has stayed up, and false when ctx ends. Staying up says
// nothing of a server that can be seen not to accept yet.
func (g guess) wait(ctx context.Context) bool {
	told := false
	for next := g.first; ; {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(next):
		}
		sight := g.look()
		late := !time.Now().Before(g.up)
		switch {
		case sight == sock.Accepts:
			return true
		case late && !g.strict && (!g.listens || sight == sock.Unseen):
			return true
		case late:
			next = acceptLate
		default:
			next = acceptEvery
		}
		if late && sight == sock.Unseen && !told {
			told = true
			g.lacking("it waits by poll or select, where nobody can see for what; choose another ready")
		}
	}
}
