package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/sock/steer"
)

// quiesceBound is how long connections that the kernel has accepted are waited
// for before their workers are told to drain. On a busy server they take well
// under a millisecond; this is for workers that do not accept at all.
const quiesceBound = time.Second

// refuseAfter is how long a worker without a channel may take to close its
// copy of a listener by itself.
const refuseAfter = 250 * time.Millisecond

type listener struct {
	*steer.Group
	config  Listener
	name    string           // the core's
	slots   map[string]int   // the sockets that are workers' own, by their names
	leaving map[int]*parting // those that newcomers are turned away from
	kept    keeper           // who goes on listening on it
	closing bool             // as soon as no worker without a channel holds it
	closed  bool
}

// quiesce makes the kernel take no new connection, and tells the core when the
// workers have accepted those it had taken. It does so aside, because both wait
// for the kernel. What somebody keeps stays as it is: nobody in its queue is lost.
func (s *Supervisor) quiesce(l *listener) {
	if l.kept != nobody {
		s.queue = append(s.queue, pool.Quiesced{Listener: l.name})
		return
	}
	go func() {
		if err := l.Quiesce(); err != nil && !errors.Is(err, net.ErrClosed) {
			level := slog.LevelInfo // it is of a kind that cannot be quiesced, as the manual says
			if errors.Is(err, os.ErrPermission) {
				level = slog.LevelWarn
			}
			s.log.Log(context.Background(), level, "cannot quiesce, accepting until empty; who comes just then may be reset", "listener", l.config.Name, "err", err)
		}
		waitEmpty(l.Empty, quiesceBound)
		s.post(pool.Quiesced{Listener: l.name})
	}()
}

// waitEmpty waits until a queue is empty, but not longer than bound. There is no
// event for it.
func waitEmpty(isEmpty func() (bool, error), bound time.Duration) {
	until := time.Now().Add(bound)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for time.Now().Before(until) {
		if empty, err := isEmpty(); empty || err != nil {
			return
		}
		<-look.C
	}
}

// closeListener closes our copy, so that a successor can bind. Workers without
// a channel may keep theirs, in which newcomers would wait for nobody: then
// the socket itself is made to refuse. They get a moment to act on their stop
// signal first: who comes meanwhile may reach a successor, and a call of accept
// that is under way fails where nothing is left but to shut the socket down. No
// client waits longer than for the first retransmission of its SYN.
func (s *Supervisor) closeListener(l *listener) {
	if l.closed || l.closing {
		return
	}
	if l.kept == unit && s.current(l) && !s.ending() {
		return // nobody serves what the configuration still says: a reload may have it served again, and could not bind it
	}
	l.closing = true
	s.rename(l)
	if l.kept != nobody || !s.foreign(l.name) {
		s.letGo(l)
		return
	}
	s.letGoLater(l)
}

// rename gives the name of a listener that is closed back to the one before it,
// if that is still in use: a reload to another address has failed.
func (s *Supervisor) rename(l *listener) {
	for name, other := range s.listeners {
		if s.names[l.config.Name] == l.name && other.config.Name == l.config.Name && !other.closing && !other.closed {
			s.names[l.config.Name] = name
		}
	}
}

func (s *Supervisor) letGoLater(l *listener) {
	go func() {
		select {
		case <-time.After(refuseAfter):
			s.call(context.Background(), func() { s.letGo(l) })
		case <-s.done:
		}
	}()
}

// letGo closes our copy, for good.
func (s *Supervisor) letGo(l *listener) {
	if l.closed {
		return
	}
	// Not shut down, if that can be: a worker that is at work, and then accepts
	// again, would get an error, and some try for ever.
	if l.kept == nobody && s.foreign(l.name) && l.RefuseNewcomers() != nil {
		switch err := l.Refuse(); {
		case errors.Is(err, sock.ErrNotEmpty):
			s.letGoLater(l) // to refuse now would reset who is in it
			return
		case err != nil && !errors.Is(err, errors.ErrUnsupported):
			s.log.Warn("cannot refuse newcomers", "listener", l.config.Name, "err", err)
		}
	}
	if err := l.close(); err != nil {
		s.log.Warn("close listener", "listener", l.config.Name, "err", err)
	}
	s.log.Info("closed", "listener", l.config.Name)
}

// close closes our copy. What somebody keeps goes on listening, at its path too.
func (l *listener) close() error {
	l.closed = true
	if l.kept != nobody {
		l.LeavePath()
	}
	return l.Close()
}

// letGoUnheld closes the listeners that were left open only for workers that
// have ended meanwhile.
func (s *Supervisor) letGoUnheld() {
	for name, l := range s.listeners {
		if l.closing && !s.foreign(name) {
			s.letGo(l)
		}
	}
}

// foreign tells whether a life holds the listener that does not tell when it
// has closed it.
func (s *Supervisor) foreign(name string) bool {
	for _, l := range s.lives {
		if l.hello {
			continue
		}
		for _, used := range l.program.Listen {
			if used == name {
				return true
			}
		}
	}
	return false
}

func (s *Supervisor) closeListeners() {
	for _, l := range s.listeners {
		if !l.closed {
			_ = l.close() // nothing runs any more that could be told
		}
	}
}
