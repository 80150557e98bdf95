package main

import (
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []time.Duration
		want   time.Duration
	}{
		{[]time.Duration{7}, 7},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{8, 2, 100, 4}, 6},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) is %v, want %v", c.values, got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, c := range []struct {
		values []time.Duration
		want   time.Duration
	}{{nil, 0}, {[]time.Duration{7}, 7}, {hundred, 99}, {append(hundred, 200), 100}} {
		if got := percentile(c.values, 99); got != c.want {
			t.Errorf("of %d values: %v, want %v", len(c.values), got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	tab := &table{title: "Title", head: []string{"", "median", "least", "most"}}
	tab.add(append([]string{"this"}, spread([]time.Duration{3 * time.Millisecond, 1540 * time.Microsecond, 9 * time.Millisecond})...)...)
	tab.note("Of %d.", 3)
	tab.note("And more.")
	want := `### Title

|  | median | least | most |
| --- | ---: | ---: | ---: |
| this | 3.0 ms | 1.5 ms | 9.0 ms |

Of 3.

And more.
`
	if got := tab.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
