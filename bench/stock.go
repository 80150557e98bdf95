package main

import (
	"context"
	"fmt"
)

// takeStock counts what rolling restarts lose with and without the package.
func takeStock(ctx context.Context, l *lab, p plan) (*table, error) {
	rolls := max(1, p.rolls/10)
	subjects := []subject{l.supervised(rollWorkers), l.supervised(rollWorkers, "-bare")}
	t := &table{
		title: fmt.Sprintf("Requests lost in a rolling restart of %d workers", rollWorkers),
		head:  []string{"", "package lastcall", "`http.Server` with `Shutdown`"},
	}
	absent := false
	for _, kind := range l.pressures() {
		if kind.needs != "" && !have(kind.needs) {
			absent = true
			continue
		}
		row := []string{kind.name}
		for _, s := range subjects {
			got, err := l.roll(ctx, s, kind, plan{rolls: rolls})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kind.name, err)
			}
			lost, answered := got.all()
			row = append(row, fmt.Sprintf("%.1f of %.0f", float64(lost)/float64(rolls), float64(lost+answered)/float64(rolls)))
		}
		t.add(row...)
	}
	if absent {
		t.note("Not every load generator is installed.")
	}
	t.note("Means of %d rolls. Both are workers of `lastcall run` on one inherited socket, start first; only what they do when they are told to end differs.", rolls)
	return t, nil
}
