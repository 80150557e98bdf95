package main

import (
	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const rollbackHelp = `Go back to what a program was before its last restart or reload: the same
executable, even if its file has been replaced since, arguments and environment.
It is done as a restart is, one worker after the other. Without a target all
programs that can go back do. Up to three generations are kept; after a failed
restart nothing need be done, it goes back by itself.

A program that had other listeners or dependencies then is refused: they may be
gone. Reload the configuration it had.`

func (c *cli) rollbackVerb() *cobra.Command {
	return &cobra.Command{
		Use:               "rollback [PROGRAM]",
		Short:             "Go back to the generation before",
		Long:              rollbackHelp,
		Example:           "  lastcall rollback\n  lastcall rollback web",
		Args:              arguments(0, 1),
		ValidArgsFunction: c.completeTarget,
		RunE: func(verb *cobra.Command, args []string) error {
			return c.do(verb.Context(), control.Request{Verb: "rollback", Target: first(args)})
		},
	}
}
