package pool

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A reload may turn a dependency round, while there are workers of both forms,
// again and again, and rolls fail. Nothing panics, each command has its answer,
// and a stop ends: no two wait for each other.
func TestDependencyTurnsRound(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		surge := []string{" max_surge=1", " max_surge=0", " max_surge=1 workers=2"}
		forms := [][]string{
			{"program api listen=api", "program web listen=web depends_on=api", "program job depends_on=web"},
			{"program web listen=web", "program api listen=api depends_on=web", "program job depends_on=api"},
			{"program job", "program api listen=api depends_on=web,job", "program web listen=web depends_on=job"},
		}
		declare := func(form []string) (lines []string) {
			for _, line := range form {
				lines = append(lines, line+surge[r.IntN(len(surge))])
			}
			return lines
		}
		w := newWorld(declare(forms[0]))
		w.rules = nil // they know no circles
		w.guarded(func() {
			w.step(Begin{})
			for range 150 {
				if w.done() {
					return
				}
				if r.IntN(12) > 0 {
					w.play(w.random(r))
					continue
				}
				for _, line := range declare(forms[r.IntN(len(forms))]) {
					w.config.declare(strings.Fields(line))
					w.declared = append(w.declared, line)
				}
				w.declared = append(w.declared, w.rebind()...)
				e := Reload{Token: w.token(), Programs: slices.Clone(w.config.programs)}
				for _, p := range e.Programs {
					for _, name := range p.Listeners {
						if w.listener[name] == nil {
							w.listener[name] = &listenerModel{}
						}
					}
					if r.IntN(2) == 0 {
						e.Roll = append(e.Roll, p.Name)
					}
				}
				w.step(e)
			}
			w.end()
		})
		if w.broken != nil {
			t.Fatalf("seed %d: %v\n%s", seed, w.broken, w.transcript())
		}
	}
}

// Of a circle that a configuration could not have New says so.
func TestCircularConfigurationPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a circular dependency is taken")
		}
	}()
	New([]Program{{Name: "web", DependsOn: []string{"api"}}, {Name: "api", DependsOn: []string{"web"}}}, 1)
}
