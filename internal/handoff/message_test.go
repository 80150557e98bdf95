package handoff

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func everyMessage() []message {
	return []message{
		{Op: opOffer, IDs: []uint64{1}, Ticket: &Ticket{Listener: "web", Fresh: true, Method: "POST", Idle: time.Second, Offered: true}, Marks: &marks{In: 1 << 63, Out: 7}},
		{Op: opOffer, IDs: []uint64{1}, Ticket: &Ticket{}},
		{Op: opAck, IDs: []uint64{1<<64 - 1}},
		{Op: opNack, IDs: []uint64{2}, Why: whyShort},
		{Op: opCommit, IDs: []uint64{3, 1, 1<<64 - 1}},
		{Op: opDone, IDs: []uint64{4}},
		{Op: opAbort, IDs: []uint64{5}},
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
	got, err := decode([]byte(`{"op":"offer","ids":[3],"colour":"red","ticket":{"listener":"web","height":3}}`))
	want := message{Op: opOffer, IDs: []uint64{3}, Ticket: &Ticket{Listener: "web"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestTooManyIDs(t *testing.T) {
	m := message{Op: opAck, IDs: make([]uint64, maxIDs)}
	for i := range m.IDs {
		m.IDs[i] = 1<<64 - 1
	}
	b, err := encode(m)
	if err != nil {
		t.Fatalf("as many as there may be: %v", err)
	}
	if _, err := decode(b); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
	m.IDs = append(m.IDs, 1)
	if _, err := encode(m); err == nil {
		t.Error("one more is encoded")
	}
	b = append(bytes.TrimSuffix(b, []byte("]}")), ",1]}"...)
	if m, err := decode(b); err == nil || m.Op != "" {
		t.Errorf("one more is decoded: %+v", m)
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
	for _, s := range []string{"", "{", "null", "[]", `{"ids":[-1]}`, `{"ids":[1e30]}`, `{"ids":7}`, `{"ids":[]}`, `{"op":7}`, `{"ticket":null}`, `{"OP":"ack","IDS":[2]}`} {
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
