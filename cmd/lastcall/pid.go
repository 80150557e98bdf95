package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const pidHelp = `Print the process id of a worker, or one line for each worker of a program;
without a target that of the supervisor, the only process that is ever to be
signalled. Of a worker that is being replaced it is the newer process.

A pid is history once it is printed: to act on a worker, name it instead
(lastcall stop web.2, lastcall signal USR1 web.2).`

func (c *cli) pidVerb() *cobra.Command {
	return &cobra.Command{
		Use:               "pid [TARGET]",
		Short:             "Print the process id of a worker, or of the supervisor",
		Long:              pidHelp,
		Example:           "  lastcall pid\n  lastcall pid web.2\n  strace -f -p $(lastcall pid web.2)",
		Args:              arguments(0, 1),
		ValidArgsFunction: c.completeTarget,
		RunE: func(verb *cobra.Command, args []string) error {
			s, err := c.status(verb.Context())
			if err != nil {
				return err
			}
			pids := []int{s.PID}
			if len(args) > 0 {
				if pids, err = pidsOf(s, args[0]); err != nil {
					return err
				}
			}
			for _, pid := range pids {
				fmt.Fprintln(c.stdout, pid)
			}
			return nil
		},
	}
}

// pidsOf lists the processes of a target, the newest life of each slot.
func pidsOf(s control.Status, target string) ([]int, error) {
	var pids []int
	known, state, last := false, "", ""
	for _, p := range s.Programs {
		known = known || p.Name == target
		for _, w := range p.Workers {
			if p.Name != target && w.Worker != target {
				continue
			}
			known, state = true, w.State
			switch {
			case w.PID == 0:
			case w.Worker == last: // lives of a slot follow each other, the older first
				pids[len(pids)-1] = w.PID
			default:
				pids, last = append(pids, w.PID), w.Worker
			}
		}
	}
	switch {
	case !known:
		return nil, &control.UnknownTarget{Target: target}
	case len(pids) > 0:
		return pids, nil
	case state == "":
		return nil, fmt.Errorf("%s has no workers", target)
	}
	return nil, fmt.Errorf("%s has no process: it is %s", target, state)
}
