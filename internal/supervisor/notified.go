package supervisor

import (
	"errors"
	"os"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/wire"
)

// maxNotify is the size of the longest datagram, systemd's own limit.
const maxNotify = 4096

// hear brings the notify datagrams of a life to the loop, and returns a channel
// that is closed when no more can come. Each is read without the descriptors
// that came with it, which the kernel closes then; so whoever waits behind a
// BARRIER=1 goes on when all that he has said before has been taken.
func (s *Supervisor) hear(l *life) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		for l.over.Err() == nil {
			datagram, from, err := l.notify.Receive()
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded) && l.over.Err() != nil:
			case s.parks(l, end, err):
			case err != nil || !s.hears(l, from, datagram):
				return // closed with the life
			}
		}
		s.hearRest(l)
	}()
	return end
}

// hearRest takes what a life has said last. The socket has no end that could be
// read; but nobody is left who could say more.
func (s *Supervisor) hearRest(l *life) {
	for {
		datagram, from, err := l.notify.Left()
		if err != nil || !s.hears(l, from, datagram) {
			return
		}
	}
}

// hears takes one datagram; false: the life is over.
func (s *Supervisor) hears(l *life, from sender, datagram []byte) bool {
	if !s.mayNotify(l, from) {
		return true
	}
	note := wire.ParseNotify(datagram)
	return s.call(l.ctx, func() { s.notified(l, note) })
}

// notified takes what a life says of itself, in an order in which all of it can
// be true.
func (s *Supervisor) notified(l *life, n wire.Notification) {
	if n.Status != "" {
		l.status = n.Status
		s.heardFrom(l) // who says this says READY=1 too
	}
	if n.MainPID > 0 {
		l.mainPID = n.MainPID
	}
	if n.Watch != nil {
		s.step(pool.Watch{ID: l.id, Every: *n.Watch})
	}
	if n.Extend > 0 {
		s.step(pool.Extend{ID: l.id, By: n.Extend})
	}
	s.mark(l, n.Marks)
	if n.Reloading && !n.Ready {
		l.reloads = true
		s.log.Info("reloading", "worker", l.id.Worker(), "life", l.id.Life)
	}
	if n.Ready {
		s.saidItIsReady(l)
	}
	if n.Watchdog {
		s.step(pool.Alive{ID: l.id})
	}
	if n.Trigger {
		s.step(pool.Hung{ID: l.id})
	}
	if n.Stopping {
		s.step(pool.Ending{ID: l.id})
	}
}

// saidItIsReady takes READY=1: it has come up, or has reloaded.
func (s *Supervisor) saidItIsReady(l *life) {
	if l.reloads {
		l.reloads = false
		s.log.Info("reloaded by itself", "worker", l.id.Worker(), "life", l.id.Life)
	}
	s.heardFrom(l)
	s.saidReady(l)
}
