package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lastcall/lastcall/internal/sock"
)

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{":80", "127.0.0.1:80", true},
		{":80", "[::1]:80", true},
		{":80", "localhost:80", true},
		{":80", ":http", true},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "[::1]:80", true}, // net listens there in both families
		{"[::]:80", "127.0.0.1:80", true},
		{"tcp4:0.0.0.0:80", "127.0.0.1:80", true},
		{"tcp4::80", "127.0.0.1:80", true},
		{"tcp6:[::]:80", "[::1]:80", true},
		{"tcp4:127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:http", true},
		{"web.example:80", "WEB.example:80", true},
		{"/run/x", "/run//x", true},
		{"./x", "unix:x", true},
		{"tcp4::80", "[::1]:80", false},
		{"tcp4::80", "tcp6::80", false},
		{"tcp6::80", "127.0.0.1:80", false},
		{":80", "127.0.0.1:81", false},
		{":0", "127.0.0.1:0", false},
		{":0", ":0", false},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"127.0.0.1:80", "web.example:80", false},
		{"/run/x", "/run/y", false},
		{"unix:@/x/./y", "unix:@/x/y", false},
		{"/x", ":80", false},
	} {
		a, errA := sock.ParseAddress(test.a)
		b, errB := sock.ParseAddress(test.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if overlap(a, b) != test.want || overlap(b, a) != test.want {
			t.Errorf("overlap(%s, %s) = %v, %v", a, b, overlap(a, b), overlap(b, a))
		}
	}
}

// A probe finds out the program's own socket however its path is written.
func TestProbeOnOwnSocketSpelledOtherwise(t *testing.T) {
	dir := yard(t)
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"./x.sock", "x.sock", dir + "/x.sock", dir + "/sub/../x.sock", dir + "/link/x.sock"} {
		for _, kind := range []string{"tcp", "http"} {
			file := web + "listen = './x.sock'\nready = { " + kind + " = 'unix:" + path + "' }\n"
			if _, err := load(t, file); err == nil {
				t.Errorf("%s: %s asks the listener that all workers share, and may", kind, path)
			}
		}
	}
	if _, err := load(t, web+"listen = './x.sock'\nready = { tcp = 'unix:sub/x.sock' }\n"); err != nil {
		t.Error(err)
	}
}
