package supervisor

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/sock/steer"
)

// FuzzHandover: what is taken for a predecessor's state gives an error of one
// line, or one in which nothing is missing that the core knows of.
func FuzzHandover(f *testing.F) {
	s, err := New(Config{Name: "x", Programs: []Program{{Name: "web", Workers: 1, Listen: []string{"web"}}}}, Options{Version: "v1"})
	if err != nil {
		f.Fatal(err)
	}
	s.names["web"] = "web"
	s.core = pool.New(s.corePrograms(), 1)
	h, err := s.save()
	if err != nil {
		f.Fatal(err)
	}
	for _, spoil := range []func(){
		func() {},
		func() { h.Listeners = []savedListener{{Name: "web"}} },
		func() {
			h.Listeners = []savedListener{{Name: "web", Sockets: []steer.Handover{{}, {Number: 3, Left: true}}, Slots: map[string]int{"web.0": 0}}}
		},
		func() {
			h.Lives = []savedLife{{ID: pool.ID{Program: "web", Life: 1}, Generation: 1, Sockets: map[string]int{"web": 0}}}
		},
		func() { h.Versions = []savedVersion{{Generation: 1, Program: s.config.Programs[0]}} },
		func() { h.Guard = guard.Handover{Pidfd: 7, Link: 8} },
		func() { h.Format = 9 },
	} {
		spoil()
		text, err := json.Marshal(h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("junk"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, core, err := readHandover(bytes.NewReader(text))
		if err != nil {
			if bytes.ContainsRune([]byte(err.Error()), '\n') {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		for _, l := range h.Lives {
			if h.version(l.ID.Program, l.Generation) == nil {
				t.Errorf("life %s has no version", l.ID)
			}
		}
		for _, p := range core.Snapshot().Programs {
			for _, slot := range p.Slots {
				if len(slot.Lives) > len(h.Lives) {
					t.Errorf("%d lives, %d saved", len(slot.Lives), len(h.Lives))
				}
			}
		}
		h.descriptors()
	})
}
