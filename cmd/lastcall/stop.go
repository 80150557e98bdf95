package main

import (
	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const stopHelp = `Stop a worker, a program, or without a target everything and the supervisor
itself. Workers take no more work, end what they have begun, and are gone; work
that is still there at the deadline (drain_timeout) is cut and named. What
others depend on is not stopped before them.

stop waits, shows about once a second what it waits for, and exits with the
verdict: 0 all work ended, 5 a deadline cut work, 6 something died or had to be
killed. Ctrl-C ends the waiting only. A worker that was stopped stays down until
it is started again.`

func (c *cli) stopVerb() *cobra.Command {
	var now bool
	verb := &cobra.Command{
		Use:               "stop [TARGET] [--now]",
		Short:             "Stop everything, a program or a worker, when its work is done",
		Long:              stopHelp,
		Example:           "  lastcall stop\n  lastcall stop web.2\n  lastcall stop --now      cut what a stop still waits for",
		Args:              arguments(0, 1),
		ValidArgsFunction: c.completeTarget,
		RunE: func(verb *cobra.Command, args []string) error {
			return c.do(verb.Context(), control.Request{Verb: "stop", Target: first(args), Now: now})
		},
	}
	verb.Flags().BoolVar(&now, "now", false, "cut the work in progress; also of a stop that is under way")
	return verb
}
