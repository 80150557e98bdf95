package lastcall

import (
	"net/http"
	"testing"
)

// TestIdleRule has this net/http pass the test that lets a worker move
// connections, of HTTP/1 alone and beside HTTP/2 without TLS.
func TestIdleRule(t *testing.T) {
	if err := testIdle(true); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[*Server]bool{
		{HTTP: &http.Server{}}:          false,
		{HTTP: withH2C(&http.Server{})}: true,
		{GRPC: newLineServer()}:         false,
	} {
		if s.speaksH2C() != want {
			t.Errorf("HTTP/2 without TLS: %v, want %v", !want, want)
		}
	}
}

func BenchmarkIdleRule(b *testing.B) {
	for b.Loop() {
		if err := testIdle(false); err != nil {
			b.Fatal(err)
		}
	}
}
