package main

import (
	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const signalHelp = `Send a signal to a worker, or to all workers of a program. They are named, not
numbered: the signal cannot reach a process that has taken over an old pid.

To stop workers use stop, which waits for their work. A worker that dies by a
signal has crashed, and is started again.`

func (c *cli) signalVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "signal SIGNAL TARGET",
		Short:   "Send a signal to workers",
		Long:    signalHelp,
		Example: "  lastcall signal USR1 web\n  lastcall signal QUIT web.2",
		Args:    arguments(2, 2),
		ValidArgsFunction: func(verb *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return c.completeTarget(verb, args[1:], begun)
		},
		RunE: func(verb *cobra.Command, args []string) error {
			return c.do(verb.Context(), control.Request{Verb: "signal", Signal: args[0], Target: args[1]})
		},
	}
}
