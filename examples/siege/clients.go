package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/examples/siege/demo"
	"github.com/lastcall/lastcall/examples/siege/load"
)

// loadClients puts load on a server, and fails if a request was lost.
func loadClients(flags *flag.FlagSet, args []string) error {
	var c load.Config
	flags.StringVar(&c.Addr, "addr", "127.0.0.1:8080", "address of the server")
	flags.IntVar(&c.KeepAlive, "keep-alive", 4, "clients that keep their connection")
	flags.IntVar(&c.Single, "single", 4, "clients that open a connection for each request")
	flags.IntVar(&c.Jobs, "jobs", 2, "clients that post jobs")
	flags.IntVar(&c.Steps, "steps", 5, "parts of a job")
	flags.DurationVar(&c.Step, "step", 200*time.Millisecond, "time between two parts of a job")
	flags.DurationVar(&c.Think, "think", 0, "time from an answer to the next request")
	flags.DurationVar(&c.Timeout, "timeout", 10*time.Second, "time for one request")
	length := flags.Duration("for", 5*time.Second, "how long; an interrupt ends it earlier")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *length)
	defer cancel()
	k := load.Run(ctx, c)
	say("keep-alive  ", k.KeepAlive)
	say("single      ", k.Single)
	say("jobs        ", k.Jobs)
	if t := k.Total(); t.Answered < t.Sent {
		return errors.New("requests were lost")
	}
	return nil
}

// runDemo finds the programs of the demo and runs it.
func runDemo(flags *flag.FlagSet, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	beside := filepath.Join(filepath.Dir(self), "lastcall")
	c := demo.Config{Siege: self, TOML: configuration, Out: os.Stdout}
	flags.StringVar(&c.Lastcall, "lastcall", "", "the lastcall command (default: beside this one, or in PATH)")
	flags.DurationVar(&c.Between, "between", 2*time.Second, "load before, between and after the restarts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if c.Lastcall == "" {
		c.Lastcall = beside
		if _, err := os.Stat(beside); err != nil {
			if c.Lastcall, err = exec.LookPath("lastcall"); err != nil {
				return errors.New("find lastcall: it is neither beside this command nor in PATH; give --lastcall")
			}
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return demo.Run(ctx, c)
}
