package lastcall

import "testing"

// TestIdleRule has this net/http pass the test that lets a worker move
// connections; and one that reads otherwise fail it.
func TestIdleRule(t *testing.T) {
	if err := testIdle(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkIdleRule(b *testing.B) {
	for b.Loop() {
		if err := testIdle(); err != nil {
			b.Fatal(err)
		}
	}
}
