package main

import (
	"github.com/spf13/cobra"
)

// completeTarget offers the shell what runs now. Where nothing answers it
// offers nothing: file names would be wrong.
func (c *cli) completeTarget(verb *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := c.status(verb.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, p := range s.Programs {
		names = append(names, p.Name)
		last := ""
		for _, w := range p.Workers {
			if w.Worker != last { // a worker that is being replaced has two entries
				names = append(names, w.Worker)
			}
			last = w.Worker
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
