package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report writes what was seen and returns what was wrong.
func (d *drama) report() []string {
	var faults []string
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	line := func(what, format string, a ...any) {
		fmt.Fprintf(d.Out, "%-12s%s\n", what, fmt.Sprintf(format, a...))
	}
	fmt.Fprintln(d.Out)
	total := d.load.Total()
	line("requests", "%s", total)
	line("", "keep-alive: %s", d.load.KeepAlive)
	line("", "one each:   %s", d.load.Single)
	line("", "jobs:       %s", d.load.Jobs)
	if total.Answered == 0 || total.Answered < total.Sent {
		fault("%d of %d requests lost", total.Sent-total.Answered, total.Sent)
	}
	for i, r := range d.restarts {
		verdict := "done"
		if r.err != nil {
			verdict = r.err.Error()
			fault("restart %d: %v", i+1, r.err)
		}
		line(fmt.Sprintf("restart %d", i+1), "%s in %.2f s", verdict, r.took.Seconds())
	}
	whole, half := d.sets()
	line("sets", "%d whole, %d half-written (of %d jobs answered)", whole, half, len(d.load.Jobs.Jobs)+1)
	if half > 0 || whole != len(d.load.Jobs.Jobs)+1 {
		fault("%d whole sets and %d half-written ones, of %d jobs answered", whole, half, len(d.load.Jobs.Jobs)+1)
	}
	line("last job", "%s", d.answer)
	if !strings.HasPrefix(d.answer, "done last by ") {
		fault("the job in progress at the stop: %s", d.answer)
	}
	inTime := slices.SortedStableFunc(slices.Values(d.endings), func(a, b ending) int { return a.at.Compare(b.at) })
	for _, e := range inTime {
		if e.at.IsZero() {
			line("left", "%s (pid %d)", e.name, e.pid)
			fault("%s (pid %d) is left behind", e.name, e.pid)
			continue
		}
		when := e.at.Sub(d.answered)
		line("ended", "%s (pid %d) %s the last answer", e.name, e.pid, millis(when))
	}
	faults = append(faults, order(d.endings)...)
	line("exit code", "%d", d.code)
	if d.code != 0 {
		fault("the supervisor's exit code is %d", d.code)
	}
	if len(faults) == 0 {
		end := inTime[len(inTime)-1].at
		line("verdict", "nothing lost; everything gone %s the last answer", millis(end.Sub(d.answered)))
	}
	return faults
}

func millis(t time.Duration) string {
	when := "after"
	if t < 0 {
		when, t = "before", -t
	}
	return fmt.Sprintf("%.1f ms %s", float64(t)/float64(time.Millisecond), when)
}

// order checks that workers ended before helpers and the supervisor last. What
// did not end at all is not its concern.
func order(endings []ending) []string {
	rank := func(e ending) int {
		switch {
		case e.name == "supervisor":
			return 2
		case strings.HasPrefix(e.name, "web."):
			return 0
		}
		return 1
	}
	var faults []string
	for i, a := range endings {
		for _, b := range endings[i+1:] {
			if a.at.IsZero() || b.at.IsZero() {
				continue
			}
			if rank(a) < rank(b) && a.at.After(b.at) || rank(a) > rank(b) && b.at.After(a.at) {
				faults = append(faults, fmt.Sprintf("%s and %s ended in the wrong order", a.name, b.name))
			}
		}
	}
	return faults
}

// sets counts the folders that jobs have left.
func (d *drama) sets() (whole, half int) {
	data := filepath.Join(d.dir, "siege_data")
	entries, err := os.ReadDir(data)
	if err != nil {
		return 0, 0 // no folder, no sets: the report says so
	}
	for _, e := range entries {
		want := steps
		if e.Name() == "last" {
			want = last
		}
		if strings.HasSuffix(e.Name(), ".part") || !complete(filepath.Join(data, e.Name()), want) {
			half++
		} else {
			whole++
		}
	}
	return whole, half
}

// complete reports whether a folder holds all parts of a set, each whole.
func complete(dir string, parts int) bool {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != parts {
		return false
	}
	for i := range parts {
		info, err := os.Stat(filepath.Join(dir, fmt.Sprintf("part-%d", i)))
		if err != nil || info.Size() != 1024 {
			return false
		}
	}
	return true
}
