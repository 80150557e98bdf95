package handoff

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func everyMessage() []message {
	return []message{
		{Op: opOffer, ID: 1, Ticket: &Ticket{Listener: "web", Fresh: true, Method: "POST", Idle: time.Second, Offered: true}, Marks: &marks{In: 1 << 63, Out: 7}},
		{Op: opOffer, ID: 1, Ticket: &Ticket{}},
		{Op: opAck, ID: 1<<64 - 1},
		{Op: opNack, ID: 2, Why: whyShort},
		{Op: opCommit, ID: 3},
		{Op: opDone, ID: 4},
		{Op: opAbort, ID: 5},
	}
}

func TestEveryMessageComesBack(t *testing.T) {
	for _, m := range everyMessage() {
		b, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(b)
		if diff := cmp.Diff(m, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-sent +received):\n%s", b, err, diff)
		}
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	got, err := decode([]byte(`{"op":"offer","id":3,"colour":"red","ticket":{"listener":"web","height":3}}`))
	want := message{Op: opOffer, ID: 3, Ticket: &Ticket{Listener: "web"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Whatever the bytes: no panic, and what was understood can be said again.
func FuzzDecode(f *testing.F) {
	for _, m := range everyMessage() {
		b, err := encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"", "{", "null", "[]", `{"id":-1}`, `{"id":1e30}`, `{"op":7}`, `{"ticket":null}`, `{"OP":"ack","ID":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			if !reflect.ValueOf(m).IsZero() {
				t.Fatalf("%q: an error and %+v", b, m)
			}
			return
		}
		again, err := encode(m)
		if err != nil {
			return // escapes can make it too long
		}
		n, err := decode(again)
		if diff := cmp.Diff(m, n); err != nil || diff != "" {
			t.Fatalf("%q: %v (-first +second):\n%s", b, err, diff)
		}
	})
}
