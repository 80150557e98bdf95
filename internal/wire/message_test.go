package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// everyMessage returns a message of each kind, with every field set.
func everyMessage() []Message {
	ops := []Operation{{Name: "POST", Route: "/work/{id}", Class: Critical, State: "running", Client: "127.0.0.1:9", Age: time.Second}}
	return []Message{
		{Drain: &Drain{
			Reason: ReasonRoll, Timeout: 25 * time.Second, Policy: WaitCritical, Hold: true, Move: true,
			UnwindTimeout: 1, FreshGrace: 2, ExpendableGrace: 3, StallTimeout: 4,
		}},
		{List: &List{Request: 3, Max: 10}},
		{Quit: &Quit{}},
		{Cut: &CutOrder{}},
		{Peer: &Peer{Worker: "web.2", Life: 7, Offer: true}},
		{Lame: &Lame{Quiet: time.Second}},
		{Quiet: &Quiet{}},
		{Tickets: &Tickets{Keys: [][]byte{{1, 2}, {3}}}},
		{Hello: &Hello{Package: "v1.2.3", Features: []string{FeatureMove}}},
		{Ready: &Ready{}},
		{Closed: &Closed{Listeners: []string{"web", "admin"}}},
		{Worn: &Worn{Served: 1000}},
		{Inflight: &Inflight{Request: 3, Critical: 1, Expendable: 2, Idle: 3, Left: time.Minute, Served: 1 << 40, Operations: ops, More: true}},
		{Drained: &Drained{Finished: 9, Moved: 4, Cut: ops, More: true}},
		{Lost: &Lost{Worker: "web.2", Life: 7}},
		{Notify: &Notify{Text: "READY=1\nSTATUS=\"a\""}},
	}
}

func TestEveryMessageComesBack(t *testing.T) {
	kinds := reflect.TypeFor[Message]().NumField() - 1 // less the version
	if n := len(everyMessage()); n != kinds {
		t.Fatalf("%d messages are tried, there are %d kinds", n, kinds)
	}
	for _, m := range everyMessage() {
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		m.Version = Version
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("%s (-sent +received):\n%s", b, diff)
		}
	}
}

func TestUnknownMessagesAndFieldsAreIgnored(t *testing.T) {
	got, err := Decode([]byte(`{"v":99,"levitate":{"height":3},"drain":{"reason":"stop","timeout":5,"colour":"red"}}`))
	want := Message{Version: 99, Drain: &Drain{Reason: ReasonStop, Timeout: 5}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	got, err = Decode([]byte(`{"v":99,"levitate":{}}`))
	if diff := cmp.Diff(Message{Version: 99}, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

// A whole page of operations with long names fits into a message.
func TestAPageFits(t *testing.T) {
	page := make([]Operation, PageSize)
	for i := range page {
		page[i] = Operation{
			Name: strings.Repeat("n", 100), Route: strings.Repeat("r", 200), Class: Expendable,
			State: "hijacked", Client: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535", Age: 1 << 62,
		}
	}
	for _, m := range []Message{{Inflight: &Inflight{Operations: page}}, {Drained: &Drained{Cut: page}}} {
		if _, err := Encode(m); err != nil {
			t.Error(err)
		}
	}
}

func TestMessageSizeIsBounded(t *testing.T) {
	if _, err := Encode(Message{Hello: &Hello{Package: strings.Repeat("x", MaxMessage)}}); err == nil {
		t.Error("encoded a message of more than MaxMessage")
	}
	if _, err := Decode([]byte(strings.Repeat(" ", MaxMessage-1) + "{}")); err == nil {
		t.Error("decoded a message of more than MaxMessage")
	}
	if _, err := Decode([]byte(strings.Repeat(" ", MaxMessage-2) + "{}")); err != nil {
		t.Errorf("a message of MaxMessage: %v", err)
	}
}

// Whatever the bytes: no panic, and what was understood can be said again.
func FuzzDecode(f *testing.F) {
	for _, m := range everyMessage() {
		b, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"", "{", "null", "[]", `{"v":"1"}`, `{"v":1,"drain":null}`, `{"drain":{"timeout":1e99}}`, `{"V":2,"READY":{}}`, `{"peer":{"life":-1,"FD":0,"fd":3}}`, `{"lost":null,"peer":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			if !reflect.ValueOf(m).IsZero() {
				t.Fatalf("%q: an error and %+v", b, m)
			}
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if len(again) > MaxMessage {
			return // escapes can make it longer
		}
		n, err := Decode(again)
		// An empty list that is left out comes back as none.
		if diff := cmp.Diff(m, n, cmp.Transformer("none", func(in []Operation) []Operation { return append([]Operation(nil), in...) }),
			cmp.Transformer("none", func(in []string) []string { return append([]string(nil), in...) })); err != nil || diff != "" {
			t.Fatalf("%q: %v (-first +second):\n%s", b, err, diff)
		}
		if at := bytes.IndexByte(again, '{'); len(again) < MaxMessage-100 {
			newer := string(again[:at+1]) + `"levitate":[1,{"drain":2}],` + string(again[at+1:])
			if n, err := Decode([]byte(newer)); err != nil || !reflect.DeepEqual(m, n) && cmp.Diff(again, encoded(t, n)) != "" {
				t.Fatalf("%s: %v, %+v; a field that is not known changes %+v", newer, err, n, m)
			}
		}
	})
}

func encoded(t *testing.T, m Message) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
