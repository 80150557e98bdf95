package sock

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	long := "/" + strings.Repeat("x", maxPath)
	for _, c := range []struct {
		in      string
		want    Address
		str     string // "": as in
		problem string // part of the error
	}{
		{in: "127.0.0.1:8080", want: Address{"tcp", "127.0.0.1:8080"}},
		{in: ":8080", want: Address{"tcp", ":8080"}},
		{in: ":0", want: Address{"tcp", ":0"}},
		{in: "[::1]:80", want: Address{"tcp", "[::1]:80"}},
		{in: "localhost:http", want: Address{"tcp", "localhost:http"}},
		{in: "tcp:127.0.0.1:80", want: Address{"tcp", "127.0.0.1:80"}, str: "127.0.0.1:80"},
		{in: "tcp:tcp:80", want: Address{"tcp", "tcp:80"}},
		{in: "tcp4:0.0.0.0:80", want: Address{"tcp4", "0.0.0.0:80"}},
		{in: "tcp4::80", want: Address{"tcp4", ":80"}},
		{in: "tcp6:[::]:80", want: Address{"tcp6", "[::]:80"}},
		{in: "unix:/run/x.sock", want: Address{"unix", "/run/x.sock"}, str: "/run/x.sock"},
		{in: "/run/x.sock", want: Address{"unix", "/run/x.sock"}},
		{in: "./x.sock", want: Address{"unix", "./x.sock"}},
		{in: "../x.sock", want: Address{"unix", "../x.sock"}},
		{in: "unix:x.sock", want: Address{"unix", "x.sock"}},
		{in: "unix:@abstract", want: Address{"unix", "@abstract"}},
		{in: long[:maxPath], want: Address{"unix", long[:maxPath]}},
		{in: "", problem: `parse address "": empty`},
		{in: "unix:", problem: "path is empty"},
		{in: "unix:@", problem: "path is empty"},
		{in: "unix:a\x00b", problem: "control character"},
		{in: "127.0.0.1:80\n", problem: "control character"},
		{in: "/run/a;b", problem: "semicolon"},
		{in: long, problem: "the path has 108 bytes, the limit for a unix socket is 107"},
		{in: "8080", problem: `missing port; for port 8080 alone write ":8080"`},
		{in: "localhost", problem: "missing port"},
		{in: "localhost:", problem: "missing port"},
		{in: "::1", problem: "missing port"},
		{in: "::1:80:x", problem: "an IPv6 address goes in brackets"},
		{in: "udp:127.0.0.1:80", problem: "too many colons"},
		{in: ":65536", problem: `port "65536" is neither`},
		{in: ":-1", problem: `port "-1" is neither`},
		{in: ": 80", problem: `port " 80" is neither`},
		{in: ":+80", problem: `port "+80" is neither`},
		{in: ":nosuchservice", problem: "neither a number"},
		{in: "tcp4:[::1]:80", problem: "::1 is not an IPv4 address"},
		{in: "tcp6:127.0.0.1:80", problem: "127.0.0.1 is not an IPv6 address"},
	} {
		got, err := ParseAddress(c.in)
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("ParseAddress(%q): error %v, want one with %q", c.in, err, c.problem)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("ParseAddress(%q) = %+v, %v; want %+v", c.in, got, err, c.want)
		}
		if c.str == "" {
			c.str = c.in
		}
		if s := got.String(); s != c.str {
			t.Errorf("String of %+v = %q, want %q", got, s, c.str)
		}
	}
	if s := (Address{}).String(); s != "" {
		t.Errorf("String of the zero Address = %q, want nothing", s)
	}
}

// What is parsed reads back the same, and an error is one line.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"", ":80", "tcp:tcp:80", "tcp4::1", "unix:@a", "./x", "tcp:/x:80", "[::1%lo]:80", "unix:tcp:80", "tcp:unix:80", "\r0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("error of more than one line: %q", err)
			}
			return
		}
		if b, err := ParseAddress(a.String()); err != nil || a != b {
			t.Fatalf("%q is %+v, String %q reads back as %+v, %v", s, a, a.String(), b, err)
		}
	})
}
