package config

import (
	"slices"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
	}{
		{``, nil},
		{" \t\r\n", nil},
		{`a`, []string{"a"}},
		{"  a\tb \n c ", []string{"a", "b", "c"}},
		{`'a b' "c d"`, []string{"a b", "c d"}},
		{`a'b'"c"d`, []string{"abcd"}},
		{`'' ""`, []string{"", ""}},
		{`a\ b \'`, []string{"a b", "'"}},
		{`'a\b' '"'`, []string{`a\b`, `"`}},
		{`"a\"b\\c\d'"`, []string{`a"b\c\d'`}},
		{`$HOME *.go | > ; & #x`, []string{"$HOME", "*.go", "|", ">", ";", "&", "#x"}},
		{`é "ü"`, []string{"é", "ü"}},
	} {
		if got, err := split(test.in); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("split(%q) = %q, %v; want %q", test.in, got, err, test.want)
		}
	}
	for _, in := range []string{`'a`, `"a`, `a\`, `"a\"`, `"\`} {
		if got, err := split(in); err == nil {
			t.Errorf("split(%q) = %q, want an error", in, got)
		}
	}
}

func TestNearest(t *testing.T) {
	known := names((&loader{}).newDraft("", place{}).keys())
	for name, want := range map[string]string{
		"wokers": "workers", "worker": "workers", "wrokers": "workers", "Workers": "workers", "depend_on": "depends_on",
		"dependson": "depends_on", "drain-timeout": "drain_timeout", "gates": "gate", "comand": "command",
		"foo": "", "": "", "x": "", "graceful_shutdown_period": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestReaches(t *testing.T) {
	for _, test := range []struct {
		target, network, address string
		want                     bool
	}{
		{"127.0.0.1:80", "tcp", "127.0.0.1:80", true},
		{"127.0.0.1:80", "tcp", ":80", true},
		{"127.0.0.1:80", "tcp", "0.0.0.0:80", true},
		{"10.0.0.1:80", "tcp6", "[::]:80", true},
		{"localhost:http", "tcp", "127.0.0.1:80", true},
		{"127.0.0.1:80", "tcp", "localhost:80", true},
		{":80", "tcp", "127.0.0.1:80", true},
		{"[::ffff:127.0.0.1]:80", "tcp", "127.0.0.1:80", true},
		{"http://127.0.0.1/x", "tcp", ":80", true},
		{"https://localhost", "tcp", "127.0.0.1:443", true},
		{"http://web.example:8080", "tcp", "WEB.example:8080", true},
		{"unix:/run/x", "unix", "/run/x", true},
		{"unix:/run/x:/ready", "unix", "/run/x", true},
		{"127.0.0.1:81", "tcp", ":80", false},
		{"127.0.0.2:80", "tcp", "127.0.0.1:80", false},
		{"web.example:80", "tcp", "127.0.0.1:80", false},
		{"localhost:80", "tcp", "10.0.0.1:80", false},
		{"https://localhost", "tcp", ":80", false},
		{"unix:/run/y", "unix", "/run/x", false},
		{"unix:/run/x", "tcp", ":80", false},
		{"127.0.0.1:80", "unix", "/run/x", false},
		{"nonsense", "tcp", ":80", false},
	} {
		if got := reaches(test.target, test.network, test.address); got != test.want {
			t.Errorf("reaches(%q, %s %s) = %v", test.target, test.network, test.address, got)
		}
	}
}

// A probe on a listener of others, or on a port of the program's own, is fine.
func TestProbeOnAnothersListener(t *testing.T) {
	yard(t)
	for _, file := range []string{
		web + "ready = { tcp = '127.0.0.1:80' }\n[listen]\na = ':80'\n",
		web + "listen = ':80'\nready = { tcp = '127.0.0.1:81' }\n",
		web + "listen = ':80'\nready = { http = 'http://127.0.0.1:80{slot}0/' }\n",
		web + "listen = ':80'\nready = { exec = './server 127.0.0.1:80' }\n",
	} {
		if _, err := load(t, file); err != nil {
			t.Errorf("%q: %v", file, err)
		}
	}
	if _, err := load(t, web+"listen = ':80'\nready = { http = 'http://127.0.0.1:8{slot}/' }\n"); err == nil {
		t.Error("slot 0 would ask the shared listener, and may")
	}
}
