package pool

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var mutate = flag.Bool("mutate", false, "plant faults in the core, one at a time, and see that the tests notice")

// A fault is one that could have been made: in a file, the only place that
// reads old would read new.
type fault struct {
	file, old, new string
	breaks         string // what it breaks, in words
}

// TestMutations plants each fault in turn and runs first the simulation alone,
// then the transcripts. It prints which noticed, and fails if none did, or if
// the fault cannot be planted any more: then the core has changed, and the
// fault must follow it. It takes minutes; run it by `make mutate`.
func TestMutations(t *testing.T) {
	if !*mutate {
		t.Skip("takes minutes; run by make mutate")
	}
	list := faults()
	results := make([]string, len(list))
	var next sync.Mutex
	turn := 0
	var planters sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		planters.Go(func() {
			for {
				next.Lock()
				i := turn
				turn++
				next.Unlock()
				if i >= len(list) {
					return
				}
				results[i] = list[i].plant(t)
				fmt.Fprintf(os.Stderr, "%d of %d: %s\n", i+1, len(list), results[i])
			}
		})
	}
	planters.Wait()
	counts := map[string]int{}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for i, f := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\n", results[i], f.file, f.breaks)
		counts[results[i]]++
	}
	table.Flush()
	fmt.Printf("%d faults: %v\n", len(list), counts)
	if n := counts[bySimulation] + counts[byTranscripts]; n != len(list) {
		t.Errorf("%d of %d faults were noticed", n, len(list))
	}
}

const (
	bySimulation  = "simulation"
	byTranscripts = "transcripts"
)

// plant returns what noticed the fault, or what else came of it.
func (f fault) plant(t *testing.T) string {
	source, err := os.ReadFile(f.file)
	if err != nil || strings.Count(string(source), f.old) != 1 {
		return "DOES NOT APPLY"
	}
	dir := t.TempDir()
	planted, overlay, test := filepath.Join(dir, f.file), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "pool.test")
	here, err := filepath.Abs(f.file)
	if err != nil {
		t.Error(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{here: planted}})
	if err != nil {
		t.Error(err)
	}
	err = errors.Join(
		os.WriteFile(planted, []byte(strings.Replace(string(source), f.old, f.new, 1)), 0o600),
		os.WriteFile(overlay, replace, 0o600))
	if err != nil {
		t.Error(err)
	}
	// An overlay, and no copy of the module: nothing but the one file differs.
	if out, err := exec.Command("go", "test", "-c", "-o", test, "-overlay", overlay, ".").CombinedOutput(); err != nil {
		t.Logf("%s: %s:\n%s", f.file, f.breaks, out)
		return "DOES NOT COMPILE"
	}
	switch {
	case notices(test, "^TestSimulation$"):
		return bySimulation
	case notices(test, "^(TestTranscripts|TestStatesDocument|TestPeersAreFew|TestDependencyTurnsRound|TestCarried.*)$"):
		return byTranscripts
	}
	return "SURVIVED"
}

// Every fault can be planted: else make mutate, which is seldom run, would have
// to say so.
func TestFaultsApply(t *testing.T) {
	for _, f := range faults() {
		source, err := os.ReadFile(f.file)
		if n := strings.Count(string(source), f.old); err != nil || n != 1 {
			t.Errorf("%s reads %q %d times, not once (%s): %v", f.file, f.old, n, f.breaks, err)
		}
	}
}

// notices tells whether tests fail. A core that goes on for ever does not come
// to use up the machine.
func notices(test, run string) bool {
	limit, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return exec.CommandContext(limit, "sh", "-c", `ulimit -v 4000000; exec "$0" "$@"`, test, "-test.run", run, "-seeds", "20000").Run() != nil
}
