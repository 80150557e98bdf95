// Command siege is a small server that has everything which makes stopping
// hard: jobs that write sets of files, locks in a redis that is part of the
// program, long downloads, handlers that hang. Package lastcall and
// lastcall.toml make it stop and restart without losing work; the README
// tells how.
//
//	siege               a worker
//	siege redis         the redis it needs, or one in its place
//	siege redis-stop    asks that redis to end
//	siege load          clients that never retry
//	siege demo          all of it: load, two rolling restarts, a stop
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

// The configuration is embedded so that the demo runs the very file that the
// README explains, with other ports.
//
//go:embed lastcall.toml
var configuration string

func main() {
	err := run(os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "siege:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	verb := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet(strings.TrimSpace("siege "+verb), flag.ContinueOnError)
	switch verb {
	case "":
		return serve(flags, args)
	case "redis":
		return redisServer(flags, args)
	case "redis-stop":
		return redisStop(flags, args)
	case "load":
		return loadClients(flags, args)
	case "demo":
		return runDemo(flags, args)
	}
	return fmt.Errorf("unknown command %q: there are redis, redis-stop, load, demo, and none for a worker", verb)
}

// say writes one line at once, so that the lines of several workers never
// interleave.
func say(a ...any) {
	_, _ = os.Stdout.WriteString(fmt.Sprintln(a...))
}
