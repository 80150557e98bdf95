// Command compat runs other people's servers under `lastcall run`, restarts,
// kills and stops them under load, and counts what their clients have lost. It
// fails when a server does worse than the table in this source expects of it,
// or when a step cannot be done, and it keeps docs/compatibility.md, which is
// made from such a run.
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
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}

// pagePath is seen from the directory of this module.
const pagePath = "../docs/compatibility.md"

func run(args []string) error {
	p, err := parsePlan(args)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := adoptOrphans(); err != nil {
		return err
	}
	l, err := newLab(ctx, p.logs)
	if err != nil {
		return err
	}
	defer l.close()
	var results []result
	failed := 0
	for _, s := range p.servers {
		began := time.Now()
		r := l.examine(ctx, s)
		fmt.Printf("%-12s %s  (%.1fs)\n", s.name, r, time.Since(began).Seconds())
		for _, f := range r.faults {
			fmt.Printf("%-12s FAILED: %s\n", "", f)
		}
		failed += len(r.faults)
		results = append(results, r)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d failures with %d servers", failed, len(results))
	}
	fmt.Printf("ok: %d servers do what is expected of them\n", len(results))
	switch {
	case !p.whole:
		return nil
	case p.write:
		return writePage(pagePath, page(results))
	}
	return comparePage(pagePath, page(results))
}

// A plan is what to examine.
type plan struct {
	servers []server
	whole   bool // all there are, so that the page can be made
	write   bool
	logs    string // directory; "": the logs are not kept
}

func parsePlan(args []string) (plan, error) {
	var p plan
	f := flag.NewFlagSet("compat", flag.ContinueOnError)
	only := f.String("only", "", "`names` of the servers to examine, with commas; the page is then left alone")
	f.BoolVar(&p.write, "write", false, "write docs/compatibility.md anew")
	f.StringVar(&p.logs, "logs", "", "`directory` to keep the servers' logs in")
	if err := f.Parse(args); err != nil {
		return plan{}, err
	}
	switch {
	case f.NArg() > 0:
		return plan{}, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case *only == "":
		p.servers, p.whole = servers(), true
		return p, nil
	case p.write:
		return plan{}, errors.New("-write needs all servers: leave -only out")
	}
	var names []string
	for _, s := range servers() {
		names = append(names, s.name)
	}
	for _, name := range strings.Split(*only, ",") {
		i := slices.Index(names, name)
		if i < 0 {
			return plan{}, fmt.Errorf("no server %q: there are %s", name, strings.Join(names, ", "))
		}
		p.servers = append(p.servers, servers()[i])
	}
	return p, nil
}
