package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// TestRollPhases has a load that is another in each phase, and restarts that do
// no more than leave a line.
func TestRollPhases(t *testing.T) {
	l := bareLab(t)
	l.lastcall = l.dir + "/restart"
	said := l.dir + "/said"
	if err := os.WriteFile(l.lastcall, fmt.Appendf(nil, "#!/bin/sh\necho >>%s\n", said), 0o700); err != nil {
		t.Fatal(err)
	}
	restarts := func() int {
		b, err := os.ReadFile(said)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(b)
	}
	var rolls []int // in each phase
	var took []time.Duration
	kind := pressure{name: "counted", start: func(context.Context, string) (func() (load, error), error) {
		began, before := time.Now(), restarts()
		return func() (load, error) {
			took, rolls = append(took, time.Since(began)), append(rolls, restarts()-before)
			phase := len(rolls)
			n := []int{1, 10, 100}[phase-1]
			return load{requests: 2 * n, lost: n, p99: time.Duration(phase) * time.Second}, nil
		}, nil
	}}

	got, err := l.roll(t.Context(), l.bare(), kind, plan{rolls: 3, steady: 10 * time.Millisecond, paced: 2})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{3, 0, 2}; !slices.Equal(rolls, want) {
		t.Errorf("restarts in the phases: %v, want %v", rolls, want)
	}
	if least := 2 * rollEvery; len(took) == 3 && took[2] < least {
		t.Errorf("the paced rolls were over after %v, want at least %v", took[2], least)
	}
	if len(got.times) != 3 || got.lost() != 111 || got.answered() != 222 || got.ratio() != 1.5 {
		t.Errorf("times %v, %d lost, %d answered, ratio %v; want 3 times, 111, 222, 1.5", got.times, got.lost(), got.answered(), got.ratio())
	}

	rolls = nil
	if got, err = l.roll(t.Context(), l.bare(), kind, plan{rolls: 1}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rolls, []int{1}) || got.lost() != 1 {
		t.Errorf("of a plan of one roll: restarts in the phases %v, %d lost", rolls, got.lost())
	}
}
