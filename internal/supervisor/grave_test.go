package supervisor

import (
	"context"
	"fmt"
	"testing"

	"github.com/lastcall/lastcall/internal/pool"
)

// The lives that ended last are remembered, not those with the highest numbers:
// a helper is the first that starts and the last that ends.
func TestGraves(t *testing.T) {
	s, err := New(Config{Programs: []Program{{Name: "web"}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	bury := func(n int) {
		l := &life{id: pool.ID{Program: "web", Life: n}, program: &s.config.Programs[0], tail: &tail{}}
		l.ctx, l.cancel = context.WithCancel(context.Background())
		l.tail.add(fmt.Sprint("last line of ", n))
		s.lives[l.id] = l
		s.buried(l)
	}
	for n := 2; n < 10*maxGraves; n++ {
		bury(n)
	}
	bury(1)
	if len(s.graves) != maxGraves {
		t.Errorf("%d graves, want %d", len(s.graves), maxGraves)
	}
	for _, n := range []int{1, 10*maxGraves - 1} {
		last := s.lastLinesOf(pool.ID{Program: "web", Life: n})
		if len(last) != 1 || last[0] != fmt.Sprint("last line of ", n) {
			t.Errorf("the last lines of life %d are %q", n, last)
		}
	}
	if last := s.lastLinesOf(pool.ID{Program: "web", Life: 2}); last != nil {
		t.Errorf("the oldest is still remembered: %q", last)
	}
}
