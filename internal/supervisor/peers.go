package supervisor

import (
	"context"
	"log/slog"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/wire"
	"golang.org/x/sys/unix"
)

// introduce joins two lives by a socket pair over which the one hands its
// connections to the other. No connection passes through the supervisor, which
// keeps neither end. A failure costs nothing: the life that drains does then
// what it does where nobody takes anything, so nobody is signalled for it.
//
// The receiver is told first: if it cannot be, the sender does not begin.
func (s *Supervisor) introduce(a pool.Introduce) {
	from, to := s.lives[a.From], s.lives[a.To]
	sender, receiver, err := s.system.pair()
	if err == nil {
		err = to.channel.Send(peer(a.From, receiver, false))
		if err == nil {
			err = from.channel.Send(peer(a.To, sender, true))
		}
		_ = unix.Close(sender)
		_ = unix.Close(receiver)
	}
	if err != nil {
		level := slog.LevelWarn
		if ended(err) { // one of them has nothing to hand on
			level = slog.LevelDebug
		}
		s.log.Log(context.Background(), level, "introduce", "worker", a.From.Worker(), "life", a.From.Life, "peer", a.To.Worker(), "peer_life", a.To.Life, "err", err)
		return
	}
	s.log.Debug("introduced", "worker", a.From.Worker(), "life", a.From.Life, "peer", a.To.Worker(), "peer_life", a.To.Life)
}

// peer is the message that gives a life one end of a pair.
func peer(of pool.ID, fd int, offer bool) wire.Message {
	return wire.Message{Peer: &wire.Peer{Worker: of.Worker(), Life: of.Life, Offer: offer, FD: fd}}
}

// lostPeer takes a life's word that its peer is gone. One that the supervisor
// does not have any more is.
func (s *Supervisor) lostPeer(l *life, lost wire.Lost) {
	for id := range s.lives {
		if id.Life == lost.Life && id.Worker() == lost.Worker {
			s.step(pool.Lost{ID: l.id, Peer: id})
			return
		}
	}
}
