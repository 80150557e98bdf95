package lastcall

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"net/http"
	"sync"
	"time"
)

// Tickets have the workers of a program, and those that follow them, share the
// keys of their TLS session tickets: a client that is told to go resumes its
// session with whomever it meets next, instead of paying for a whole handshake.
type tickets struct {
	servers []*sharedTickets // complete before the first keys come
	known   chan struct{}    // closed with the first keys, or when they are late
	once    sync.Once
}

// SharedTickets makes and reads the tickets of one server.
type sharedTickets struct {
	keys    tls.Config // for its ticket keys alone: they can be changed while it is in use
	purpose string
	known   <-chan struct{}
}

// ticketPatience bounds how long handshakes wait for the first keys. They are
// in the channel before the process runs; an older supervisor has none to send.
const ticketPatience = 100 * time.Millisecond

// share has a server use the keys that are to come, unless the application has
// arranged for its tickets itself. The server must not serve yet.
func (l *link) share(srv *http.Server, name string) {
	if l == nil || srv.TLSConfig == nil || ownTickets(srv.TLSConfig) {
		return
	}
	t := &l.tickets
	if t.known == nil {
		t.known = make(chan struct{})
	}
	// The ticket of one server is worth nothing to another, which may ask more
	// of its clients.
	s := &sharedTickets{purpose: "lastcall TLS session tickets of " + name, known: t.known}
	s.keys.Rand, s.keys.Time = srv.TLSConfig.Rand, srv.TLSConfig.Time
	t.servers = append(t.servers, s)
	// A copy: others may use the application's.
	srv.TLSConfig = srv.TLSConfig.Clone()
	srv.TLSConfig.WrapSession, srv.TLSConfig.UnwrapSession = s.wrap, s.unwrap
}

// ownTickets reports whether the application has set ticket keys, has hooks, or
// wants no tickets. Whether keys were set cannot be asked, but it shows: they
// go along with a copy, while copies without make their own. Without tickets
// both of these are nil. VerifyPeerCertificate is not called when a session is
// resumed: it may be stricter in a later generation.
func ownTickets(c *tls.Config) bool {
	return c.WrapSession != nil || c.UnwrapSession != nil || c.GetConfigForClient != nil || c.VerifyPeerCertificate != nil ||
		bytes.Equal(sampleTicket(c), sampleTicket(c))
}

// sampleTicket returns a ticket that depends on nothing but the keys of a copy
// of c, nil if that makes none.
func sampleTicket(c *tls.Config) []byte {
	c = c.Clone()
	c.Rand = nil
	if _, err := c.EncryptTicket(tls.ConnectionState{}, &tls.SessionState{}); err != nil {
		return nil
	}
	c.Rand = zeros{} // for the initialization vector: the keys are made by now
	ticket, err := c.EncryptTicket(tls.ConnectionState{}, &tls.SessionState{})
	if err != nil {
		return nil
	}
	return ticket
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// expect begins the time that handshakes wait.
func (t *tickets) expect() {
	if t.known != nil {
		time.AfterFunc(ticketPatience, t.settle)
	}
}

func (t *tickets) settle() { t.once.Do(func() { close(t.known) }) }

// take changes the keys of all servers: the first makes tickets, all read them.
func (t *tickets) take(given [][]byte) {
	if t.known == nil || len(given) == 0 {
		return
	}
	for _, s := range t.servers {
		keys := make([][32]byte, len(given))
		for i, secret := range given {
			key, err := hkdf.Expand(sha256.New, secret, s.purpose, len(keys[i]))
			if err != nil {
				return // for secrets that are no keys, which a supervisor does not send
			}
			copy(keys[i][:], key)
		}
		s.keys.SetSessionTicketKeys(keys)
	}
	t.settle()
}

func (s *sharedTickets) wrap(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
	<-s.known
	return s.keys.EncryptTicket(state, session)
}

func (s *sharedTickets) unwrap(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
	<-s.known
	return s.keys.DecryptTicket(ticket, state)
}
