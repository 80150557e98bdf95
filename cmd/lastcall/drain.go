package main

import (
	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const drainHelp = `Let a worker, or all workers of a program, end what they have begun and leave.
The same as lastcall stop TARGET: it stays down until lastcall start TARGET.
Verdict and exit codes are those of stop.`

func (c *cli) drainVerb() *cobra.Command {
	return &cobra.Command{
		Use:               "drain TARGET",
		Short:             "Take a worker out of service when its work is done",
		Long:              drainHelp,
		Example:           "  lastcall drain web.2 && gdb ...\n  lastcall start web.2",
		Args:              arguments(1, 1),
		ValidArgsFunction: c.completeTarget,
		RunE: func(verb *cobra.Command, args []string) error {
			return c.do(verb.Context(), control.Request{Verb: "drain", Target: args[0]})
		},
	}
}
