// Command bench takes the figures of lastcall on this machine: how long a stop
// takes once the last response is out, what the package costs a server that is
// not stopping, and what a rolling restart loses. It prints tables, and fails
// only when it could not measure: a figure is for reading, not a test.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	err := run(os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// serveRole is the first argument that makes this program the server that is
// measured: one executable, so that what is compared differs in nothing else.
const serveRole = "serve"

func run(args []string) error {
	if len(args) > 0 && args[0] == serveRole {
		return serve(args[1:])
	}
	p, err := parsePlan(args)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	lab, err := newLab(ctx)
	if err != nil {
		return err
	}
	defer lab.close()

	machine := describeMachine(time.Now())
	fmt.Println(machine)
	for _, f := range figures() {
		if !slices.Contains(p.only, f.name) {
			continue
		}
		t, err := f.take(ctx, lab, p)
		if err != nil {
			return fmt.Errorf("figure %s: %w", f.name, err)
		}
		fmt.Printf("\n%s", t)
		if !p.write {
			continue
		}
		t.note("%s", machine) // the figures beside it may be of another run
		if err := writeFigure("README.md", f.name, t.String()); err != nil {
			return err
		}
	}
	return nil
}

// A figure is one table.
type figure struct {
	name string
	take func(context.Context, *lab, plan) (*table, error)
}

func figures() []figure {
	return []figure{
		{"stop", takeStop}, {"idle", takeIdle}, {"rate", takeRate}, {"roll", takeRoll},
		{"h2", takeH2}, {"h2load", takeH2load}, {"herd", takeHerd}, {"stock", takeStock}, {"long", takeLong},
		{"respawn", takeRespawn}, {"footprint", takeFootprint}, {"crowd", takeCrowd}, {"balance", takeBalance},
	}
}

// A plan is what to measure and how often.
type plan struct {
	runs  int           // of each stop
	pairs int           // of load with and without the package
	load  time.Duration // how long each of their turns is
	rolls int           // of four workers, under each kind of load, without a pause
	turns int           // after those, so many without rolls, with one each rollEvery, and with other processes
	turn  time.Duration // how long each of these is
	long  int           // rolls without load, one after the other
	only  []string
	write bool
}

// figureNames are in the order in which the figures are taken and written.
func figureNames() (names []string) {
	for _, f := range figures() {
		names = append(names, f.name)
	}
	return names
}

func parsePlan(args []string) (plan, error) {
	names := figureNames()
	all := strings.Join(names, ",")
	var p plan
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&p.runs, "runs", 15, "stops of each kind")
	f.IntVar(&p.pairs, "pairs", 10, "pairs of servers under load, with and without the package")
	f.DurationVar(&p.load, "load", time.Second, "length of each of their turns, whole seconds")
	f.IntVar(&p.rolls, "rolls", 200, "rolling restarts under each kind of load, without a pause")
	f.IntVar(&p.turns, "turns", 5, "turns of each kind of load after those: without, with one of them a second, and with other processes that start")
	f.DurationVar(&p.turn, "turn", 5*time.Second, "length of each of those turns")
	f.IntVar(&p.long, "long", 1000, "rolling restarts without load, in one supervisor")
	only := f.String("only", all, "figures to take")
	f.BoolVar(&p.write, "write", false, "put the figures taken into README.md of the current directory, in the place of earlier ones")
	if err := f.Parse(args); err != nil {
		return plan{}, err
	}
	p.only = strings.Split(*only, ",")
	for _, name := range p.only {
		if !slices.Contains(names, name) {
			return plan{}, fmt.Errorf("no figure %q: there are %s", name, all)
		}
	}
	switch {
	case f.NArg() > 0:
		return plan{}, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case p.runs < 1 || p.pairs < 1 || p.rolls < 1 || p.turns < 1:
		return plan{}, errors.New("runs, pairs, rolls and turns must be at least 1")
	case p.turn <= 0:
		return plan{}, errors.New("turn must be more than nothing")
	case p.long < longPoints:
		return plan{}, fmt.Errorf("long must be at least %d", longPoints)
	case p.load < time.Second || p.load%time.Second != 0:
		return plan{}, errors.New("load must be whole seconds")
	}
	return p, nil
}
