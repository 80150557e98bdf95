package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

const rootHelp = `lastcall runs a server as workers on one listening socket, and stops and
restarts them without losing work.

  lastcall run --workers 4 --listen :8080 -- ./server    in one terminal
  lastcall status                                        in another
  lastcall restart                                       new workers, no client notices
  lastcall stop                                          when all work is done

The other verbs speak to a running supervisor through its control socket. They
find the one that was started in this directory, or the only one there is;
--socket or LASTCALL_SOCKET says which otherwise. Only the user who started it,
and root, may.

Workers are named program.slot, as web.2; slots count from 0. Where a verb takes
a TARGET, "web" means all workers of the program.`

// The groups under which the help lists the verbs.
const (
	groupRun  = "run"
	groupLook = "look"
	groupAct  = "act"
)

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:                        "lastcall",
		Short:                      "Stop and restart servers without losing work",
		Long:                       rootHelp,
		Version:                    versionLine(),
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableSuggestions:         true, // they take four lines; misuse says it in one
		SuggestionsMinimumDistance: 2,
		PersistentPreRun:           func(*cobra.Command, []string) { c.started = true },
		RunE: func(root *cobra.Command, _ []string) error {
			root.SetOut(c.stderr)
			if err := root.Help(); err != nil {
				return err
			}
			return &exit{code: exitUsage}
		},
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVar(&c.socket, "socket", "", "`path` of the control socket (env LASTCALL_SOCKET)")
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run a server:"},
		&cobra.Group{ID: groupLook, Title: "Look at a running one:"},
		&cobra.Group{ID: groupAct, Title: "Act on a running one:"},
	)
	add := func(group string, verbs ...*cobra.Command) {
		for _, verb := range verbs {
			verb.GroupID = group
			verb.DisableFlagsInUseLine = true
			root.AddCommand(verb)
		}
	}
	add(groupRun, c.runVerb(), c.checkVerb(), c.upstreamVerb(), c.versionVerb())
	add(groupLook, c.statusVerb(), c.pidVerb(), c.inflightVerb())
	add(groupAct, c.stopVerb(), c.startVerb(), c.restartVerb(), c.reloadVerb(), c.rollbackVerb(), c.upgradeVerb(), c.drainVerb(), c.scaleVerb(), c.signalVerb())
	return root
}

// arguments accepts from least to most of them; otherwise the error is how the
// verb is called.
func arguments(least, most int) cobra.PositionalArgs {
	return func(verb *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("usage: %s", verb.UseLine())
		}
		return nil
	}
}
