package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/supervisor"
)

const upgradeHelp = `Have the executable that is now at the supervisor's path take its place: the
same process, with its sockets, workers, helpers, timers and this control
socket. No worker is replaced, and no client notices. USR2 to the supervisor is
the same.

The new executable first has to show that it can go on from the supervisor's
state; otherwise nothing is changed. It waits until no other command waits for
its answer. The workers of the Go package keep the version they were built with.`

// upgradeLimit is how long the new executable may take to answer.
const upgradeLimit = 30 * time.Second

func (c *cli) upgradeVerb() *cobra.Command {
	var accept bool
	verb := &cobra.Command{
		Use:     "upgrade",
		Short:   "Replace the supervisor's own executable, and nothing else",
		Long:    upgradeHelp,
		Example: "  install -m 755 new/lastcall /usr/local/bin/lastcall && lastcall upgrade",
		Args:    arguments(0, 0),
		RunE: func(verb *cobra.Command, _ []string) error {
			if accept {
				return supervisor.CheckState(os.Stdin, os.Stdout)
			}
			return c.upgrade(verb.Context())
		},
	}
	verb.Flags().BoolVar(&accept, "accept", false, "")
	_ = verb.Flags().MarkHidden("accept") // it is there
	return verb
}

// acceptState are the arguments of upgrade by which an executable is asked
// whether it can go on from the state on its standard input.
func acceptState() []string { return []string{"upgrade", "--accept"} }

// upgrade gives the command. Its answer comes from the other executable, once
// that has taken over: the connection ends, and status tells.
func (c *cli) upgrade(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	before, err := client.Status(ctx)
	if err != nil {
		return err
	}
	r := control.Request{Verb: "upgrade"}
	v, lost := client.Do(ctx, r, c.progress)
	if lost == nil {
		return c.verdict(r, v)
	}
	ctx, cancel := context.WithTimeout(ctx, upgradeLimit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		now, err := client.Status(ctx)
		if err == nil && now.Upgrades > before.Upgrades {
			fmt.Fprintf(c.stdout, "upgrade: done, from %s to %s\n", before.Version, now.Version)
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("upgrade: the supervisor does not answer any more: %w", errors.Join(lost, err))
		}
	}
}

// inherited returns the supervisor that goes on from what a predecessor in this
// process has left, nil if there is none.
func (c *cli) inherited(f *flags) (*supervisor.Supervisor, error) {
	state := supervisor.Inherited()
	if state == nil {
		return nil, nil
	}
	defer state.Close()
	text, err := io.ReadAll(state)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	conf, err := supervisor.StateConfig(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	options, err := c.options(f, conf)
	if err != nil {
		return nil, err
	}
	return supervisor.Resume(bytes.NewReader(text), options)
}
