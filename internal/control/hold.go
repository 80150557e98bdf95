package control

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// An account knows which clients wait for an answer, and whether more are taken.
type account struct {
	mu      sync.Mutex
	waiting map[net.Conn]bool // those that were taken; false: it has its answer, or it cannot come from here
	held    chan struct{}     // closed when clients are taken again; nil: they are
	parked  bool              // the loop that takes them waits for that
	quiet   chan struct{}     // closed when it does and nobody waits for an answer; nil: nobody asked, or it is
}

type connKey struct{}

// Hold has those who connect from now on wait for whoever serves the socket
// next, and returns a channel that is closed once all who came before have their
// answers, written whole. One to "upgrade" is not waited for: it comes from the
// other executable. Release, or Close, takes clients again. Without it a process
// that executes another has taken requests that neither of them answers.
func (s *Server) Hold() (quiet <-chan struct{}) {
	a := &s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	q := make(chan struct{})
	a.quiet = q
	if a.held == nil {
		a.held = make(chan struct{})
		_ = s.listener.SetDeadline(time.Unix(1, 0)) // it fails once the listener is closed
	}
	a.settle()
	return q
}

// Release ends a Hold; without one it does nothing.
func (s *Server) Release() {
	a := &s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held == nil {
		return
	}
	_ = s.listener.SetDeadline(time.Time{}) // as above
	close(a.held)
	a.held, a.quiet = nil, nil
}

// settle says that nobody waits, if so; a.mu is held.
func (a *account) settle() {
	if a.quiet == nil || !a.parked {
		return
	}
	for _, waits := range a.waiting {
		if waits {
			return
		}
	}
	close(a.quiet)
	a.quiet = nil
}

// park waits until clients are taken again.
func (a *account) park() {
	a.mu.Lock()
	held := a.held
	a.parked = held != nil
	a.settle()
	a.mu.Unlock()
	if held != nil {
		<-held
	}
	a.mu.Lock()
	a.parked = false
	a.mu.Unlock()
}

// taken begins the account of a client, before the next is looked for.
func (a *account) taken(c net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil {
		a.waiting = map[net.Conn]bool{}
	}
	a.waiting[c] = true
}

// state follows a client through net/http.
func (a *account) state(c net.Conn, state http.ConnState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch state {
	case http.StateNew, http.StateActive:
		a.waiting[c] = true
	case http.StateIdle:
		a.waiting[c] = false
	case http.StateClosed, http.StateHijacked:
		delete(a.waiting, c)
	}
	a.settle()
}

// elsewhere notes that the answer to a request cannot come from this process,
// until the returned function says otherwise.
func (a *account) elsewhere(ctx context.Context) (here func()) {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	note := func(waits bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if _, known := a.waiting[c]; known {
			a.waiting[c] = waits
			a.settle()
		}
	}
	note(false)
	return func() { note(true) }
}
