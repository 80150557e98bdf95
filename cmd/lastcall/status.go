package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
)

const statusHelp = `Show the supervisor, its listening sockets, and one line for each worker.

  ADDRESS    the worker's own, where there is a port for each (port_base)
  STATE      starting, ready, draining, cutting, stuck; without a process:
             waiting (to be started again), failed (given up), stopped
  LIFE       number of the process in this slot, never used twice
  INFLIGHT   operations in progress; - where the worker cannot say
  ACCEPTING  whether it still takes connections: yes, no, unknown, or - for one
             without a listening socket
  RESTARTS   how often it was started again
  NOTE       why it is not serving, what it says itself, how long it has left

A worker that is being replaced has two lines, the older process first.`

func (c *cli) statusVerb() *cobra.Command {
	var asJSON bool
	verb := &cobra.Command{
		Use:     "status [--json]",
		Short:   "Show the workers and what they do",
		Long:    statusHelp,
		Example: "  lastcall status\n  lastcall status --json | jq '.programs[].workers[].pid'",
		Args:    arguments(0, 0),
		RunE: func(verb *cobra.Command, _ []string) error {
			s, err := c.status(verb.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return encode(c.stdout, s)
			}
			c.printStatus(s)
			return nil
		},
	}
	verb.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return verb
}

// askTimeout bounds a question to a supervisor that hangs. Commands have no
// such limit: a drain may take hours.
const askTimeout = 10 * time.Second

func (c *cli) status(ctx context.Context) (control.Status, error) {
	client, err := c.client()
	if err != nil {
		return control.Status{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return client.Status(ctx)
}

func (c *cli) printStatus(s control.Status) {
	fmt.Fprintln(c.stdout, plain(fmt.Sprintf("%s: %s, pid %d, up %s, lastcall %s", s.Name, s.State, s.PID, span(seconds(s.Uptime)), s.Version)))
	for _, l := range s.Listeners {
		line := fmt.Sprintf("%s: %s, %s", l.Name, l.Address, l.State)
		switch {
		case l.Each:
			line += fmt.Sprintf(", a port for each worker: %s", count(l.Sockets, "socket"))
		case l.Sockets > 1:
			line += fmt.Sprintf(", balance slots: %d sockets", l.Sockets)
		}
		if l.Waiting {
			line += ", clients wait to be accepted"
		}
		fmt.Fprintln(c.stdout, plain(line))
	}
	rows := [][]string{{"WORKER", "STATE", "PID", "LIFE", "UPTIME", "INFLIGHT", "ACCEPTING", "RESTARTS", "NOTE"}}
	addresses := []string{"ADDRESS"}
	some := false
	for _, p := range s.Programs {
		for _, w := range p.Workers {
			rows = append(rows, workerRow(p, w))
			own := cmp.Or(strings.Join(w.Addresses, " "), "-")
			addresses, some = append(addresses, own), some || own != "-"
		}
	}
	if some { // else everything about them is said above
		for i := range rows {
			rows[i] = slices.Insert(rows[i], 1, addresses[i])
		}
	}
	fmt.Fprintln(c.stdout)
	table(c.stdout, rows)
}

func workerRow(p control.Program, w control.Worker) []string {
	pid, life, uptime, inflight, accepting := "-", "-", "-", "-", w.Accepting
	if w.PID != 0 {
		pid, life, uptime = strconv.Itoa(w.PID), strconv.Itoa(w.Life), span(seconds(w.Uptime))
		if w.Inflight >= 0 {
			inflight = strconv.Itoa(w.Inflight)
		}
	} else if accepting == "" {
		accepting = "-"
	}
	var notes []string
	if w.PID != 0 && w.Generation != p.Generation {
		notes = append(notes, fmt.Sprintf("generation %d of %d", w.Generation, p.Generation))
	}
	for _, s := range []string{w.Reason, w.Status} {
		if s != "" {
			notes = append(notes, plain(s))
		}
	}
	if w.Left > 0 {
		notes = append(notes, span(seconds(w.Left))+" left")
	}
	return []string{w.Worker, w.State, pid, life, uptime, inflight, accepting, strconv.Itoa(w.Restarts), strings.Join(notes, "; ")}
}
