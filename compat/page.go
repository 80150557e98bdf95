package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// page is docs/compatibility.md.
func page(results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Compatibility

Made by `+"`make compat COMPAT=-write`"+`, from a run of all of this; do not edit. CI runs it too, and fails if anything but the numbers differs.

Each server runs under `+"`lastcall run`"+`, as two workers on one socket, with the configuration in [compat/apps](../compat/apps). While
%d connections send requests without a pause it is restarted (`+"`lastcall restart web`"+`), again and again for %v: once with connections that are
kept, once with a connection for each request (`+"`Connection: close`"+`). Then one worker is killed, and requests are sent until it is replaced. Then
TERM comes while a request of %v is half way.

Lost is every request without a whole, good answer, by the client's own account (wrk's socket errors and bad statuses; of a call, its error), and
no client sends a request again, except as said. On one socket, a request can only be lost by the worker that has accepted its connection: where there
is a loss, the reason is what that server does with its connections when it is told to end.

`, connections, rollFor, slowTime)
	line := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line("server", "version", "takes the socket by", "ready by", "lost on rolls, connections kept", "lost on rolls, one each", "lost in a crash", "a stop with a request in progress", "remarks")
	line("---", "---", "---", "---", "---:", "---:", "---:", "---", "---")
	for _, r := range results {
		line(fmt.Sprintf("[%s](../compat/apps/%s)", r.title, r.name), r.number, r.takes, strings.Join(r.ready, ", "),
			r.kept.String(), r.each.String(), r.crash.String(), r.stop.String(), r.remarks())
	}
	b.WriteString(`
**Ready by** is what the supervisor took a worker for ready by: package (it uses package lastcall, which says so), notify (it says
` + "`READY=1`" + `), probe (a question in the configuration), accepting (it was seen to wait for connections), or uptime (none of
these could be seen, and it stayed up for a second).

A stop is **answered** if the request in progress got its whole answer. All stops have left no process behind, freed the address, and asked helpers
to end only when the workers that use them had ended.
`)
	return b.String()
}

// remarks are the last cell of a row: what to know, and the reasons for losses.
func (r result) remarks() string {
	var out []string
	if r.remark != "" {
		out = append(out, r.remark)
	}
	for _, c := range []struct{ what, reason string }{
		{"Kept connections", r.losesKept}, {"One each", r.losesEach}, {"A crash", r.losesCrash},
	} {
		if c.reason != "" {
			out = append(out, c.what+": "+c.reason+".")
		}
	}
	return strings.Join(out, " ")
}

// writePage puts a new page in the place of the old one.
func writePage(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// comparePage finds out whether the page says what a run has shown. Numbers may
// differ: they do from run to run.
func comparePage(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read page: %w; make it: make compat COMPAT=-write", err)
	}
	had, has := strings.Split(numberless(string(b)), "\n"), strings.Split(numberless(text), "\n")
	for i := range max(len(had), len(has)) {
		if is, want := at(had, i), at(has, i); is != want {
			return fmt.Errorf("%s:%d: is not what this run has shown\n\tthe page: %s\n\tthe run:  %s\nif the run is right, write it anew: make compat COMPAT=-write", path, i+1, is, want)
		}
	}
	return nil
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(the end)"
}

// numberless has an N for each number, and for each version.
func numberless(text string) string {
	return regexp.MustCompile(`\d+(\.\d+)*`).ReplaceAllString(text, "N")
}
