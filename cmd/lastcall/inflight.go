package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

const inflightHelp = `List the operations in progress: requests, and work that the application began
itself. A drain waits for those of class critical; expendable ones may be cut.
Workers that neither use the Go package nor tell of their operations
(X_LASTCALL_BEGIN on their notify socket) are not listed.`

func (c *cli) inflightVerb() *cobra.Command {
	var asJSON bool
	verb := &cobra.Command{
		Use:               "inflight [TARGET] [--json]",
		Short:             "List the operations in progress",
		Long:              inflightHelp,
		Example:           "  lastcall inflight\n  lastcall inflight web.2 --json",
		Args:              arguments(0, 1),
		ValidArgsFunction: c.completeTarget,
		RunE: func(verb *cobra.Command, args []string) error {
			return c.inflight(verb.Context(), first(args), asJSON)
		},
	}
	verb.Flags().BoolVar(&asJSON, "json", false, "print JSON; ages are in nanoseconds")
	return verb
}

func (c *cli) inflight(ctx context.Context, target string, asJSON bool) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	list, err := client.Inflight(ctx, target)
	switch {
	case err != nil:
		return err
	case asJSON:
		return encode(c.stdout, list)
	case len(list) == 0:
		fmt.Fprintln(c.stdout, "nothing in progress")
		return nil
	}
	rows := [][]string{{"WORKER", "OPERATION", "CLASS", "STATE", "AGE", "CLIENT"}}
	for _, o := range list {
		rows = append(rows, []string{o.Worker, plain(title(o)), string(o.Class), o.State, span(o.Age), plain(o.Client)})
	}
	table(c.stdout, rows)
	return nil
}

// first returns the argument that a verb may have, or "".
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
