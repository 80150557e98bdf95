package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const scaleHelp = `Set the number of workers of a program. New ones take the lowest free slots; of
too many the highest slots are drained. Waits until they are ready, or gone.`

func (c *cli) scaleVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "scale PROGRAM=N",
		Short:   "Set the number of workers of a program",
		Long:    scaleHelp,
		Example: "  lastcall scale web=6",
		Args:    arguments(1, 1),
		RunE: func(verb *cobra.Command, args []string) error {
			program, count, _ := strings.Cut(args[0], "=")
			n, err := strconv.Atoi(count)
			if err != nil || n < 0 || program == "" {
				return usage(verb, fmt.Errorf("%q is not PROGRAM=N, as web=6", args[0]))
			}
			return c.do(verb.Context(), control.Request{Verb: "scale", Target: program, Workers: n})
		},
	}
}
