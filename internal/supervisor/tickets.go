package supervisor

import (
	"crypto/rand"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// TicketKeys are the secrets of the programs' TLS session tickets, so that a
// client of one worker resumes its session with another, and with their
// successors. They go into the channels, and into the state for another
// executable; nobody else is shown them.
type ticketKeys struct {
	Next time.Time           // when to add a new one to each; zero: there are none yet
	Keys map[string][][]byte // by program, the newest first
}

const (
	ticketKeyRotation = 24 * time.Hour
	ticketKeysKept    = 3 // so that a ticket is good for two days at least
)

// giveTickets tells a life its program's secrets. A worker that never reads its
// channel is not harmed by one message in it; one that cannot be told makes
// keys of its own, as it would without a supervisor.
func (s *Supervisor) giveTickets(l *life) {
	if l.channel == nil {
		return
	}
	keys := s.tickets.Keys[l.id.Program]
	if keys == nil {
		keys = s.tickets.add(l.id.Program)
	}
	_ = l.channel.Send(wire.Message{Tickets: &wire.Tickets{Keys: keys}})
}

// add mints a new secret for a program, and returns those that count now.
func (t *ticketKeys) add(program string) [][]byte {
	if t.Keys == nil {
		t.Keys = make(map[string][][]byte)
	}
	if t.Next.IsZero() {
		t.Next = time.Now().Add(ticketKeyRotation)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	old := t.Keys[program]
	t.Keys[program] = append([][]byte{key}, old[:min(len(old), ticketKeysKept-1)]...)
	return t.Keys[program]
}

// rotateTickets gives every program a new secret when it is time.
func (s *Supervisor) rotateTickets() {
	if s.tickets.Next.IsZero() || time.Now().Before(s.tickets.Next) {
		return
	}
	s.tickets.Next = time.Now().Add(ticketKeyRotation)
	for program := range s.tickets.Keys {
		s.tickets.add(program)
	}
	for _, l := range s.lives {
		if l.process != nil && l.hello { // else it may never read, and is not to be filled up
			s.giveTickets(l)
		}
	}
}
