package main

import (
	"slices"
	"strings"
	"testing"
)

func TestParsePlan(t *testing.T) {
	p, err := parsePlan([]string{"-only", "puma,gin", "-logs", "/logs"})
	if err != nil || len(p.servers) != 2 || p.servers[1].name != "gin" || p.whole || p.logs != "/logs" {
		t.Errorf("parsePlan: %+v, %v", p, err)
	}
	if p, err := parsePlan([]string{"-write"}); err != nil || len(p.servers) != len(servers()) || !p.whole || !p.write {
		t.Errorf("parsePlan: %+v, %v", p, err)
	}
	for _, args := range [][]string{{"-only", "bogus"}, {"-only", "gin", "-write"}, {"gin"}, {"-bogus"}} {
		if p, err := parsePlan(args); err == nil {
			t.Errorf("parsePlan(%q) is %+v, want an error", args, p)
		}
	}
}

// TestServersHaveTheirDirectories holds the table against compat/apps.
func TestServersHaveTheirDirectories(t *testing.T) {
	found, err := directories("apps")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, s := range servers() {
		named = append(named, s.name)
		if s.title == "" || s.takes == "" || len(s.version.command) == 0 == (s.version.module == "") {
			t.Errorf("%s: its row is not whole: %+v", s.name, s)
		}
	}
	slices.Sort(named)
	if !slices.Equal(found, named) {
		t.Errorf("apps has %q, the table %q", found, named)
	}
}

func TestParseWrk(t *testing.T) {
	const quiet = "Running 10m test @ http://127.0.0.1:8080/\n  160093 requests in 3.10s, 18.93MB read\n"
	const rate = "Requests/sec:  51644.21\nTransfer/sec:      6.11MB\n"
	for _, c := range []struct {
		report string
		want   tally
	}{
		{quiet + rate, tally{answered: 160093}},
		{quiet + "  Socket errors: connect 1, read 20, write 300, timeout 4000\n" + rate, tally{answered: 160093, lost: 4321}},
		{quiet + "  Non-2xx or 3xx responses: 93\n" + rate, tally{answered: 160000, lost: 93}},
	} {
		if got, err := parseWrk(c.report); err != nil || got != c.want {
			t.Errorf("got %+v, %v; want %+v of:\n%s", got, err, c.want, c.report)
		}
	}
	for _, report := range []string{"", quiet, rate, "unable to connect to 127.0.0.1:1 Connection refused"} {
		if got, err := parseWrk(report); err == nil {
			t.Errorf("got %+v of %q, want an error", got, report)
		}
	}
}

// TestJudge plants what a run must not show, one at a time.
func TestJudge(t *testing.T) {
	lossy := tally{answered: 9, lost: 1}
	for _, c := range []struct {
		what  string
		r     result
		fault string
	}{
		{"all is well", result{}, ""},
		{"loss on kept connections", result{kept: lossy}, "connections kept: 1 requests lost of 10"},
		{"loss on connections of their own", result{each: lossy}, "a connection for each request: 1 requests lost of 10"},
		{"loss in a crash", result{crash: lossy}, "a crash: 1 requests lost of 10"},
		{"a loss of another kind than expected", result{kept: lossy, server: server{expected: expected{losesEach: "x"}}}, "connections kept"},
		{"an expected loss", result{kept: lossy, server: server{expected: expected{losesKept: "x"}}}, ""},
		{"an expected loss that did not happen", result{server: server{expected: expected{losesKept: "x", losesEach: "x", losesCrash: "x"}}}, ""},
		{"the request in progress is lost", result{stop: stopEnd{slow: errPlanted}}, "was not answered: planted"},
		{"another exit code", result{stop: stopEnd{code: 5}}, "exit code 5"},
		{"a process is left", result{stop: stopEnd{left: []string{"7 (sleep)"}}}, "left behind: 7 (sleep)"},
		{"the address is taken", result{stop: stopEnd{taken: errPlanted}}, "not free: planted"},
		{"a helper went first", result{stop: stopEnd{order: errPlanted}}, "stop: planted"},
	} {
		c.r.judge()
		got := strings.Join(c.r.faults, "\n")
		if c.fault == "" && got != "" || !strings.Contains(got, c.fault) {
			t.Errorf("%s: faults %q, want %q", c.what, got, c.fault)
		}
	}
}
