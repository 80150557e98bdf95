package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/config"
	"github.com/lastcall/lastcall/internal/supervisor"
)

const checkHelp = `Read the configuration as run would, and say whether it is sound: keys, types,
names, commands that exist, dependencies without a cycle, addresses that two do
not share. Nothing is bound and nothing is started. Takes the flags of run.

With --budget, also whether a stop fits into the time that what runs lastcall
gives it before it kills (systemd's TimeoutStopSec, supervisord's stopwaitsecs,
terminationGracePeriodSeconds): the longest chain of programs that stop one after
the other, each with its lame_duck, drain_timeout and stop_timeout.

Exits with 0, with warnings on stderr if there are any, or with 78 and one line
that names file, line and remedy.`

func (c *cli) checkVerb() *cobra.Command {
	var f flags
	var budget time.Duration
	verb := &cobra.Command{
		Use:     "check [-f FILE] [--budget D] [flags of run] [-- COMMAND...]",
		Short:   "Check a configuration",
		Long:    checkHelp,
		Example: "  lastcall check\n  lastcall check -f production.toml && lastcall restart\n  lastcall check --budget 30s",
		Args:    afterDashes,
		RunE: func(verb *cobra.Command, args []string) error {
			conf, err := f.load(c.socket, args)
			if err != nil {
				return err
			}
			var sum string
			warnings := config.Unbudgeted
			if verb.Flags().Changed("budget") {
				if sum, err = config.Budget(conf, budget); err != nil {
					return err
				}
				warnings = config.Warnings // what the parent gives by default is no matter then
			}
			for _, w := range warnings(conf) {
				fmt.Fprintf(c.stderr, "lastcall: warning: %s\n", w)
			}
			fmt.Fprintln(c.stdout, "ok: "+summary(conf))
			if sum != "" {
				fmt.Fprintln(c.stdout, "ok: "+sum)
			}
			return nil
		},
	}
	verb.Flags().DurationVar(&budget, "budget", 0, "`time` within which a stop must be over; more is an error")
	f.define(verb)
	return verb
}

func summary(conf supervisor.Config) string {
	workers := 0
	for _, p := range conf.Programs {
		workers += p.Workers
	}
	return fmt.Sprintf("%s, %s, %s", count(len(conf.Programs), "program"), count(workers, "worker"), count(len(conf.Listeners), "listener"))
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
