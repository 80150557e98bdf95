package supervisor

import (
	"bytes"
	"os"
	"testing"

	"github.com/lastcall/lastcall/internal/pool"
)

// The last line of a life may lack its newline; the next line is another's.
func TestLastLineIsEnded(t *testing.T) {
	s, err := New(Config{Programs: []Program{{Name: "web"}}}, Options{Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for slot, text := range []string{"first\none", "two\n", "", "three"} {
		l := &life{id: pool.ID{Program: "web", Slot: slot}, tail: &tail{}}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		said := s.follow(l, &stream{pipe: r, to: &out})
		if _, err := w.WriteString(text); err != nil {
			t.Fatal(err)
		}
		w.Close()
		<-said
	}
	if want := "web.0 | first\nweb.0 | one\nweb.1 | two\nweb.3 | three\n"; out.String() != want {
		t.Errorf("output %q, want %q", out.String(), want)
	}
}
