package main

import (
	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const restartHelp = `Replace workers one after the other: a new one is started, and when it is ready
the old one ends its work and leaves. Clients notice nothing. Without a target
all programs that listen are restarted.

If a new worker does not become ready the whole restart is undone: the old
executable serves on in every slot, its last lines are shown, and the exit code
is 7.

A program that others depend on (a helper, such as redis) is not restarted while
they run. --hard stops them, restarts it, and starts them again.`

func (c *cli) restartVerb() *cobra.Command {
	var hard bool
	verb := &cobra.Command{
		Use:               "restart [TARGET] [--hard]",
		Short:             "Replace workers without losing work",
		Long:              restartHelp,
		Example:           "  lastcall restart\n  lastcall restart web.2\n  lastcall restart redis --hard",
		Args:              arguments(0, 1),
		ValidArgsFunction: c.completeTarget,
		RunE: func(verb *cobra.Command, args []string) error {
			return c.do(verb.Context(), control.Request{Verb: "restart", Target: first(args), Hard: hard})
		},
	}
	verb.Flags().BoolVar(&hard, "hard", false, "stop what depends on it first, and start it again after")
	return verb
}
