package lastcall

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/wire"
)

// superviseTLS starts a worker with one TLS server, under a supervisor that
// has given it keys, if any.
func superviseTLS(t *testing.T, change func(*tls.Config), keys ...[]byte) *supervisor {
	t.Helper()
	srv := tlsServer(t, http.HandlerFunc(ok))
	srv.Name = "web"
	change(srv.HTTP.TLSConfig)
	s := supervise(t, &Worker{}, srv)
	if len(keys) > 0 {
		s.tickets(keys...)
	}
	return s
}

// tickets has the worker use keys, and returns when it does.
func (s *supervisor) tickets(keys ...[]byte) {
	s.t.Helper()
	s.send(wire.Message{Tickets: &wire.Tickets{Keys: keys}})
	s.send(wire.Message{List: &wire.List{}}) // which is read after it
	if m := s.next(); m.Inflight == nil {
		s.t.Fatalf("got %+v, want Inflight", m)
	}
}

func (s *supervisor) stop() {
	s.t.Helper()
	s.drainWith(wire.Drain{Timeout: time.Hour})
	s.drained()
}

func plain(*tls.Config) {}

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// A tlsClient keeps the tickets it is given.
type tlsClient struct {
	t      *testing.T
	config *tls.Config
}

func newTLSClient(t *testing.T, version uint16) tlsClient {
	return tlsClient{t, &tls.Config{
		InsecureSkipVerify: true, ServerName: "example.com", ClientSessionCache: tls.NewLRUClientSessionCache(1), MaxVersion: version,
	}}
}

// visit makes one request on a new connection and reports whether that resumed
// a session.
func (c tlsClient) visit(s *supervisor) bool {
	c.t.Helper()
	conn, err := tls.Dial("tcp", s.addr, c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	client := newClient(c.t, conn)
	defer conn.Close()
	client.roundTrip("/")
	return conn.ConnectionState().DidResume
}

// TestTicketsAreShared takes a client from one worker to another, and through
// a rotation of the keys.
func TestTicketsAreShared(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			a, b := superviseTLS(t, plain, key(1)), superviseTLS(t, plain, key(1))
			client := newTLSClient(t, version)
			if client.visit(a) {
				t.Error("resumed without a ticket")
			}
			if !client.visit(b) {
				t.Error("not resumed with another worker")
			}
			b.tickets(key(2), key(1))
			if !client.visit(b) {
				t.Error("not resumed with the key before")
			}
			// With the ticket that b has made: TLS 1.2 sends a new one only
			// where the old one's key is not the first any more.
			if client.visit(a) {
				t.Error("resumed by a worker that cannot have the new key")
			}
			if a.tickets(key(2)); client.visit(a) {
				t.Error("resumed by a key that was taken away")
			}
			a.stop()
			b.stop()
		})
	}
}

// TestTicketsAreWaitedFor has a handshake wait for keys that are on their way,
// and not for those that never come.
func TestTicketsAreWaitedFor(t *testing.T) {
	a, b, late := superviseTLS(t, plain), superviseTLS(t, plain), superviseTLS(t, plain)
	client := newTLSClient(t, tls.VersionTLS13)
	begin := time.Now()
	if client.visit(late) || !client.visit(late) {
		t.Error("want a session resumed without shared keys, with the one who has made it")
	}
	if client.visit(a) {
		t.Error("resumed by keys nobody has given")
	}
	t.Logf("visited after %v", time.Since(begin))
	a.tickets(key(1))
	b.tickets(key(1))
	client.visit(a)
	if !client.visit(b) {
		t.Error("keys that come late are not taken")
	}
	a.stop()
	b.stop()
	late.stop()
}

// TestTicketsOfServersDiffer keeps one server's tickets from another of the
// same program.
func TestTicketsOfServersDiffer(t *testing.T) {
	web, spare := tlsServer(t, http.HandlerFunc(ok)), tlsServer(t, http.HandlerFunc(ok))
	web.Name, spare.Name = "web", "spare"
	s := supervise(t, &Worker{}, web, spare)
	s.tickets(key(1))
	client := newTLSClient(t, tls.VersionTLS13)
	client.visit(s)
	if !client.visit(s) {
		t.Error("not resumed by the same server")
	}
	other := *s
	other.addr = s.spare
	if client.visit(&other) {
		t.Error("resumed by another server")
	}
	s.stop()
}

// TestTicketsOfTheApplication leaves alone what the application has arranged.
func TestTicketsOfTheApplication(t *testing.T) {
	hook := func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return []byte("x"), nil }
	for name, test := range map[string]struct {
		change func(*tls.Config)
		own    bool
	}{
		"nothing":       {plain, false},
		"random source": {func(c *tls.Config) { c.Rand = zeros{} }, false},
		"key field":     {func(c *tls.Config) { c.SessionTicketKey[0] = 1 }, true},
		"set keys":      {func(c *tls.Config) { c.SetSessionTicketKeys([][32]byte{{1}}) }, true},
		"no tickets":    {func(c *tls.Config) { c.SessionTicketsDisabled = true }, true},
		"wrap":          {func(c *tls.Config) { c.WrapSession = hook }, true},
		"unwrap":        {func(c *tls.Config) { c.UnwrapSession = c.DecryptTicket }, true},
		"by client": {func(c *tls.Config) {
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
		}, true},
	} {
		c := &tls.Config{}
		test.change(c)
		field := c.SessionTicketKey
		if got := ownTickets(c); got != test.own {
			t.Errorf("%s: the application's own: %v, want %v", name, got, test.own)
		}
		if c.SessionTicketKey != field {
			t.Errorf("%s: the configuration was changed", name)
		}
	}

	set := func(c *tls.Config) { c.SetSessionTicketKeys([][32]byte{{7}}) }
	a, b := superviseTLS(t, set, key(1)), superviseTLS(t, set, key(2))
	client := newTLSClient(t, tls.VersionTLS13)
	client.visit(a)
	if !client.visit(b) {
		t.Error("the application's keys do not count")
	}
	a.stop()
	b.stop()
}
