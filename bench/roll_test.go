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
			n := []int{1, 10, 100, 1000, 10000, 100000, 1000000}[phase-1]
			return load{requests: 2 * n, lost: n, p99: time.Duration(phase) * time.Second}, nil
		}, nil
	}}

	got, err := l.roll(t.Context(), l.bare(), kind, plan{rolls: 3, turns: 2, turn: 2 * rollEvery})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{3, 0, 2, 0, 0, 2, 0}; !slices.Equal(rolls, want) {
		t.Fatalf("restarts in the phases: %v, want %v", rolls, want)
	}
	for i, d := range took[1:] {
		if d < 2*rollEvery {
			t.Errorf("turn %d was over after %v, want at least %v", i, d, 2*rollEvery)
		}
	}
	if lost, answered := got.all(); len(got.times) != 3 || lost != 1111111 || answered != 2222222 {
		t.Errorf("times %v, %d lost, %d answered; want 3 times, 1111111, 2222222", got.times, lost, answered)
	}
	if a, b := got.turns[0].ratio(), got.turns[1].ratio(); a != 1.5 || b != 1.2 {
		t.Errorf("ratios %v and %v, want 1.5 and 1.2", a, b)
	}
	if a, b := got.turns[0].floor(), got.turns[1].floor(); a != 2 || b != 1.4 {
		t.Errorf("of starts alone %v and %v, want 2 and 1.4", a, b)
	}

	rolls = nil
	if got, err = l.roll(t.Context(), l.bare(), kind, plan{rolls: 1}); err != nil {
		t.Fatal(err)
	}
	if lost, _ := got.all(); !slices.Equal(rolls, []int{1}) || lost != 1 {
		t.Errorf("of a plan of one roll: restarts in the phases %v, %d lost", rolls, lost)
	}
}
