package guard

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A guard that has finished a stop removes what the supervisor would have, when
// the last life has ended. What a link there leads to stays.
func TestRemove(t *testing.T) {
	t.Parallel()
	s := stage(t, part{Rule: rule("web"), Script: `trap 'ls "$LEFTOVERS" >>"$JOURNAL"; exit' TERM; echo on 0 >>"$JOURNAL"; while :; do sleep 0.01; done`})
	stranger := filepath.Join(t.TempDir(), "stranger")
	if err := os.WriteFile(stranger, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.leftovers, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(stranger), filepath.Join(s.leftovers, "socket")); err != nil {
		t.Fatal(err)
	}
	s.kill()
	s.ended()
	if got := s.deeds(); !slices.Equal(got, []string{"socket"}) {
		t.Errorf("the worker, asked to end, saw %q", got)
	}
	if _, err := os.Lstat(s.leftovers); !os.IsNotExist(err) {
		t.Errorf("the directory: %v", err)
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Error(err)
	}
}
