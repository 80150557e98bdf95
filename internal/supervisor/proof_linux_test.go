package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What ends well without a word about the state has read none; and what it has
// started is not waited for, nor left.
func TestProofIsAWord(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ script, want string }{
		"silent":  {"exit 0", "it does not say so; is it lastcall?"},
		"other":   {"cat >/dev/null; echo can go on from state 0", "it does not say so"},
		"parent":  {"sleep 1000 & echo $! >" + dir + "/pid; exit 1", ""},
		"failing": {"echo no; exit 3", "exit status 3"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+c.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		out, err := prove(path, nil, []byte("state"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v; want %q", name, out, err, c.want)
		}
		if took := time.Since(begun); took > proofTimeout/2 {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	limit := time.After(30 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("what it has started lives: %s", stat)
		}
	}
}
