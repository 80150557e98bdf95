package pool

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzRestore: whatever is taken for a state gives an error, or a pool that can
// be looked at and saved again as it was.
func FuzzRestore(f *testing.F) {
	for seed := range uint64(5) {
		s, _ := randomSchedule(seed)
		w := newWorld(s.programs)
		w.step(Begin{})
		for _, m := range s.moves[:min(len(s.moves), 20*int(seed))] {
			w.play(m)
		}
		if saved, err := w.pool.Save(); err == nil {
			text, err := json.Marshal(saved)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte(`{"Format":1,"Phase":"running","Programs":[{"Name":"web","Wanted":1,"Slots":[{"Lives":[{"ID":{"Program":"web","Life":1},"State":"ready"}]}]}]}`))
	f.Add([]byte(`{"Format":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Saved
		if json.Unmarshal(text, &s) != nil {
			return
		}
		p, err := Restore(s)
		if err != nil {
			return
		}
		p.Snapshot()
		p.Deadline()
		again, err := p.Save()
		if err != nil {
			t.Fatal(err)
		}
		q, err := Restore(again)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		third, err := q.Save()
		if err != nil || !reflect.DeepEqual(again, third) {
			t.Errorf("%v: saved twice it is\n%+v\nand\n%+v", err, again, third)
		}
	})
}
