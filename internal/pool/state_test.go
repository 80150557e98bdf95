package pool

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// carried returns the pool as it is after it was written down and read again.
func carried(t *testing.T, p *Pool) *Pool {
	t.Helper()
	saved, err := p.Save()
	if err != nil {
		return p
	}
	text, err := json.Marshal(saved)
	if err != nil {
		t.Fatal(err)
	}
	var read Saved
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	q, err := Restore(read)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return q
}

// A pool that is carried to another process before every step does what it
// would have done.
func TestCarriedPoolGoesOn(t *testing.T) {
	times := 0
	for seed := range uint64(200) {
		s, broken := randomSchedule(seed)
		if broken != nil {
			t.Fatal(explain(seed, s, broken))
		}
		w := newWorld(s.programs)
		w.carry = func(p *Pool) *Pool {
			q := carried(t, p)
			if q != p {
				times++
			}
			return q
		}
		if s.playIn(w); w.broken != nil {
			t.Fatalf("seed %d: %v\n%s", seed, w.broken, w.transcript())
		}
	}
	if times < 1000 {
		t.Errorf("carried %d times only", times)
	}
}

// The transcripts have what the simulation does not do.
func TestCarriedTranscripts(t *testing.T) {
	checkTranscripts(t, func(p *Pool) *Pool { return carried(t, p) })
}

func TestRestoreRefuses(t *testing.T) {
	p := New([]Program{
		{Name: "web", Workers: 2, Listeners: []string{"web"}, ReadyTimeout: time.Minute},
		{Name: "api", Workers: 1, DependsOn: []string{"web"}, ReadyTimeout: time.Minute},
	}, 1)
	p.Step(time.Unix(1, 0), Begin{})
	p.Step(time.Unix(1, 0), Ready{ID{"web", 0, 1}})
	p.Step(time.Unix(1, 0), Ready{ID{"web", 1, 2}})
	p.Step(time.Unix(1, 0), Ready{ID{"api", 0, 3}})
	p.Step(time.Unix(1, 0), Restart{Program: "api", Slot: -1})
	good := func() Saved {
		s, err := p.Save()
		if err != nil || len(s.Rolls) != 1 {
			t.Fatalf("%v, %d rolls", err, len(s.Rolls))
		}
		return s
	}
	if _, err := Restore(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Saved){
		"format":          func(s *Saved) { s.Format++ },
		"no format":       func(s *Saved) { s.Format = 0 },
		"phase":           func(s *Saved) { s.Phase = Stopping },
		"wanted":          func(s *Saved) { s.Programs[0].Wanted = 3 },
		"negative wanted": func(s *Saved) { s.Programs[0].Wanted = -1 },
		"twice":           func(s *Saved) { s.Programs[1].Name = "web" },
		"state of life":   func(s *Saved) { s.Programs[0].Slots[0].Lives[0].State = "flying" },
		"slot of life":    func(s *Saved) { s.Programs[0].Slots[0].Lives[0].ID.Slot = 1 },
		"listener":        func(s *Saved) { s.Listeners[0].State = 9 },
		"roll of nothing": func(s *Saved) { s.Rolls[0].Program = "x" },
		"roll of no slot": func(s *Saved) { s.Rolls[0].Items[0].Slot = 7 },
		"dependency":      func(s *Saved) { s.Programs[1].DependsOn = []string{"x"} },
	} {
		s := good()
		spoil(&s)
		if _, err := Restore(s); err == nil || !strings.HasPrefix(err.Error(), "restore state: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.Step(time.Unix(2, 0), Stop{Slot: -1})
	if _, err := p.Save(); err == nil {
		t.Error("saved while stopping")
	}
}
