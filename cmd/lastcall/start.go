package main

import (
	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const startHelp = `Start what was stopped by hand, or has failed, and wait until it is ready:
a worker, a program, or without a target all of them.

To start a supervisor itself, use lastcall run.`

func (c *cli) startVerb() *cobra.Command {
	return &cobra.Command{
		Use:               "start [TARGET]",
		Short:             "Start again what was stopped or has failed",
		Long:              startHelp,
		Example:           "  lastcall start web.2\n  lastcall start",
		Args:              arguments(0, 1),
		ValidArgsFunction: c.completeTarget,
		RunE: func(verb *cobra.Command, args []string) error {
			return c.do(verb.Context(), control.Request{Verb: "start", Target: first(args)})
		},
	}
}
