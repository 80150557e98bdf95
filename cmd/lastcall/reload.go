package main

import (
	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const reloadHelp = `Read the configuration again and make it hold: programs that are new are
started, those that are gone end after all that depend on them, those of which
the workers would see a change are replaced as by restart, and whatever is the
supervisor's own (timeouts, limits, the number of workers) holds at once. What
has not changed is not touched. The number of workers that scale has set holds
until the file's own number changes.

A file with a mistake, or an address that cannot be bound, changes nothing. If a
new worker does not become ready its program is what it was before, and the exit
code is 7. HUP to the supervisor is a reload that then restarts all programs
that listen.`

func (c *cli) reloadVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "reload",
		Short:   "Read the configuration again",
		Long:    reloadHelp,
		Example: "  lastcall check && lastcall reload",
		Args:    arguments(0, 0),
		RunE: func(verb *cobra.Command, _ []string) error {
			return c.do(verb.Context(), control.Request{Verb: "reload"})
		},
	}
}
