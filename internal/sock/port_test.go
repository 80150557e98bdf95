package sock

import "testing"

func TestPort(t *testing.T) {
	for _, c := range []struct {
		from string
		n    int
		want string // or the error
	}{
		{"127.0.0.1:8000", 0, "127.0.0.1:8000"},
		{"127.0.0.1:8000", 3, "127.0.0.1:8003"},
		{"tcp4:0.0.0.0:8000", 1, "tcp4:0.0.0.0:8001"},
		{"[::1]:65534", 1, "[::1]:65535"},
		{":65534", 2, "port 65536 is above 65535"},
		{"127.0.0.1:0", 1, "the port of 127.0.0.1:0 is not a number from 1 to 65535"},
		{"127.0.0.1:http", 1, "the port of 127.0.0.1:http is not a number from 1 to 65535"},
		{"/run/x.sock", 1, "/run/x.sock has no port"},
	} {
		a, err := ParseAddress(c.from)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Port(c.n)
		text := got.String()
		if err != nil {
			text = err.Error()
		}
		if text != c.want {
			t.Errorf("%s, %d further on: %s, want %s", c.from, c.n, text, c.want)
		}
	}
}
