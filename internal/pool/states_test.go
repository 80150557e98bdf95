package pool

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStatesDocument keeps docs/states.md true: it is made from the core.
func TestStatesDocument(t *testing.T) {
	const file = "../../docs/states.md"
	var b strings.Builder
	b.WriteString(`# The states of a worker

Made from internal/pool by its tests (` + "`go test ./internal/pool -update`" + `); do not edit.

A *life* is one process in a slot. It goes through these states:

| state | may become |
| --- | --- |
`)
	for _, s := range States() {
		next := make([]string, 0, 4)
		for _, n := range s.Next() {
			next = append(next, string(n))
		}
		if len(next) == 0 {
			next = append(next, "(the end)")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", s, strings.Join(next, ", "))
	}
	fmt.Fprintf(&b, `
- **starting**: it runs, and is not ready yet. If it is not ready within `+"`ready_timeout`"+` it is killed.
- **ready**: it serves.
- **draining**: it has been asked to end, or has said that it does, or its process has ended and others of its group have not.
- **cutting**: its deadline has passed. It has `+"`unwind_timeout`"+` and %v to end by itself; then its whole group is killed.
- **stuck**: %v after it was killed it is still there. That is reported, and it is left.
- **gone**: the process and its group have ended.

Between two lives a slot is **waiting** (until the end of its backoff), **failed** (it crashed more than `+"`max_restarts`"+` times
within `+"`restart_window`"+`) or **stopped** (by the operator).

After the first crash in a window the next life starts at once; after the nth it waits %v doubled n-2 times, up to
%v, less up to half of it by chance.
`, KillMargin, stuckAfter, firstDelay, maxDelay)
	want, err := os.ReadFile(file)
	if *update {
		err = os.WriteFile(file, []byte(b.String()), 0o644)
		want = []byte(b.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s is not what the core does; run with -update (-want +got):\n%s", file, diff)
	}
}
