package supervisor

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lastcall/lastcall/internal/proc"
)

// isGivenKeys wants the next message to the ith process to be n secrets.
func (b *bubble) isGivenKeys(i, n int) [][]byte {
	b.t.Helper()
	m := b.isSent(i)
	if m.Tickets == nil || len(m.Tickets.Keys) != n {
		b.t.Fatalf("process %d is told %+v, want %d keys", i, m, n)
	}
	for _, k := range m.Tickets.Keys {
		if len(k) != 32 {
			b.t.Errorf("a key of %d bytes", len(k))
		}
	}
	return m.Tickets.Keys
}

// All workers of a program have the same secrets, before they are told anything
// else; a new one each day, and those of two days before; other programs have
// others; and none is shown.
func TestTicketKeys(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, program("web", 2, "sleep"), program("api", 1, "sleep"))
		for i := range 3 {
			b.comesUp(i)
		}
		var seen [][]byte
		kept := func(n int) [][]byte {
			t.Helper()
			web := b.isGivenKeys(0, n)
			if !cmp.Equal(web, b.isGivenKeys(1, n)) {
				t.Error("two workers of a program have different keys")
			}
			if bytes.Equal(web[0], b.isGivenKeys(2, n)[0]) {
				t.Error("two programs have the same key")
			}
			return web
		}
		for day := range 5 {
			now := kept(min(day+1, 3))
			if day > 0 && (bytes.Equal(now[0], seen[0]) || !bytes.Equal(now[1], seen[0])) {
				t.Errorf("day %d: the new key is not the first, or the old one not the second", day)
			}
			seen = append(now[:1:1], seen...)
			if !cmp.Equal(now, seen[:len(now)]) {
				t.Errorf("day %d: not the newest keys", day)
			}
			if day < 4 {
				b.after(24 * time.Hour)
			}
		}
		b.ends(0, proc.Exit{Code: 1})
		b.after(5 * time.Second)
		if !cmp.Equal(b.isGivenKeys(3, 3), seen[:3]) {
			t.Error("a worker that is started again has other keys")
		}
		b.isKeptSecret(seen)
		b.signal(syscall.SIGTERM)
		for i := 1; i < 4; i++ {
			b.ends(i, proc.Exit{})
		}
	})
}

// isKeptSecret wants the keys in the state for a successor, and nowhere else.
func (b *bubble) isKeptSecret(keys [][]byte) {
	b.t.Helper()
	status, err := b.Status(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	shown, err := json.Marshal(status)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, k := range keys {
		for _, form := range []string{string(k), base64.StdEncoding.EncodeToString(k), fmt.Sprintf("%x", k), fmt.Sprint(k)} {
			if strings.Contains(b.log.String()+b.out.String()+string(shown), form) {
				b.t.Errorf("a key is shown")
			}
		}
	}
	var text []byte
	b.call(context.Background(), func() {
		h, err := b.save()
		if err != nil {
			b.t.Error(err)
			return
		}
		text, _ = json.Marshal(h) // if it is nothing, nothing can be resumed
	})
	next, err := Resume(bytes.NewReader(text), Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	if !cmp.Equal(next.tickets, b.tickets) || !cmp.Equal(next.tickets.Keys["web"], keys[:3]) {
		b.t.Errorf("a successor has %+v, want %+v", next.tickets, b.tickets)
	}
}
