package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A table is one figure, as Markdown.
type table struct {
	title string
	head  []string
	rows  [][]string
	notes []string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", t.title)
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	if len(t.rows) > 0 {
		line(t.head)
		line(append([]string{"---"}, slices.Repeat([]string{"---:"}, len(t.head)-1)...))
	}
	for _, row := range t.rows {
		line(row)
	}
	for i, n := range t.notes {
		if i > 0 || len(t.rows) > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

// spread shows durations as their median and their extremes.
func spread(d []time.Duration) []string {
	return []string{millis(median(d)), millis(slices.Min(d)), millis(slices.Max(d))}
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// median of an even number of values is the mean of the two in the middle; of
// none there is none: it panics.
func median[T time.Duration | float64](values []T) T {
	s := slices.Sorted(slices.Values(values))
	m := len(s) / 2
	if len(s)%2 == 1 {
		return s[m]
	}
	return (s[m-1] + s[m]) / 2
}

// percentile is the least value that p of a hundred do not exceed; 0 of none.
func percentile(values []time.Duration, p int) time.Duration {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return s[(len(s)*p+99)/100-1]
}

// medianOf is the median of what of tells of each.
func medianOf[T any](all []T, of func(*T) float64) float64 {
	values := make([]float64, len(all))
	for i := range all {
		values[i] = of(&all[i])
	}
	return median(values)
}

// verdict says whether a target is met.
func verdict(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}
