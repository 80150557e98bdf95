package main

import (
	"strings"
	"testing"
	"time"
)

const abReport = `
Concurrency Level:      64
Time taken for tests:   7.167 seconds
Complete requests:      75425
Failed requests:        20
   (Connect: 0, Receive: 8, Length: 12, Exceptions: 0)
Keep-Alive requests:    75282
Total transferred:      10785060 bytes
Requests per second:    10523.97 [#/sec] (mean)
Time per request:       6.081 [ms] (mean)
`

func TestParseAb(t *testing.T) {
	const csv = "Percentage served,Time in ms\n98,35.830\n99,67.376\n100,863.027\n"
	want := load{requests: 75405, lost: 20, perSecond: 10523.97, p99: 67376 * time.Microsecond}
	if got, err := parseAb(abReport, csv); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	more := strings.Replace(abReport, "Keep-Alive", "Write errors:           3\nNon-2xx responses:      7\nKeep-Alive", 1)
	want.requests, want.lost = 75398, 30
	if got, err := parseAb(more, csv); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, c := range [][2]string{{abReport, ""}, {"", csv}, {"apr_socket_connect(): Connection refused (111)\n", csv}} {
		if got, err := parseAb(c[0], c[1]); err == nil {
			t.Errorf("got %+v of %q, want an error", got, c)
		}
	}
}

const heyReport = `
Summary:
  Total:	2.5612 secs
  Requests/sec:	3171.9459

Response time histogram:
  0.000 [1]	|
  0.029 [6729]	|■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■

Latency distribution:
  95% in 0.0901 secs
  99% in 0.1372 secs

Status code distribution:
  [200]	8124 responses
`

func TestParseHey(t *testing.T) {
	want := load{requests: 8124, perSecond: 3171.9459, p99: 137200 * time.Microsecond}
	if got, err := parseHey(heyReport); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	more := heyReport + "  [503]	7 responses\n\nError distribution:\n" +
		"  [12]	Post \"http://127.0.0.1:8080/\": EOF\n  [3]	Post \"http://127.0.0.1:8080/\": dial tcp [::1]:8080: connect: connection refused\n"
	want.lost = 22
	if got, err := parseHey(more); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	full := strings.Replace(heyReport, "8124", "1000000", 1)
	for _, report := range []string{"", "Error distribution:\n  [12]	EOF\n", full} {
		if got, err := parseHey(report); err == nil {
			t.Errorf("got %+v of %q, want an error", got, report)
		}
	}
}

func TestParseH2load(t *testing.T) {
	const report = `
finished in 4.01s, 614.75 req/s, 15.29KB/s
requests: 2470 total, 2472 started, 2470 done, 2459 succeeded, 11 failed, 11 errored, 0 timeout
status codes: 2459 2xx, 0 3xx, 0 4xx, 0 5xx
`
	want := load{requests: 2459, lost: 13, perSecond: 614.75}
	if got, err := parseH2load(report); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := parseH2load("starting benchmark...\n"); err == nil {
		t.Errorf("got %+v, want an error", got)
	}
}

func TestPassiveOpens(t *testing.T) {
	const text = "Ip: Forwarding PassiveOpens\nIp: 1 4\nTcp: RtoAlgorithm ActiveOpens PassiveOpens\nTcp: 1 31 28\nUdp: PassiveOpens\nUdp: 5\n"
	if n, err := passiveOpens(text); n != 28 || err != nil {
		t.Errorf("got %d, %v; want 28", n, err)
	}
	for _, text := range []string{"", "Tcp: PassiveOpens\n", "Tcp: A B\nTcp: 1 2\n", "Tcp: A PassiveOpens\nTcp: 1\n"} {
		if n, err := passiveOpens(text); err == nil {
			t.Errorf("got %d of %q, want an error", n, text)
		}
	}
}

// TestEndOfWhatHasEnded has a load generator end before it is told to: what
// came after was done under no load, and is no figure.
func TestEndOfWhatHasEnded(t *testing.T) {
	run, err := startTool(t.Context(), parseWrk, "true")
	if err != nil {
		t.Fatal(err)
	}
	<-run.gone
	if got, err := run.end(); err == nil || !strings.Contains(err.Error(), "ended early") {
		t.Errorf("got %+v, %v; want an error", got, err)
	}
}
