package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/config"
	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/parent"
	"github.com/lastcall/lastcall/internal/supervisor"
)

const runHelp = `Run a server as workers on one listening socket, in the foreground, until told
to stop. Without -f and COMMAND it reads ./lastcall.toml.

Each worker is given the listening sockets as descriptors from 3 on, in the way
of systemd (LISTEN_FDS), and may say READY=1 to NOTIFY_SOCKET. LASTCALL_SLOT is
its number.

Signals, to the supervisor alone:
  TERM, QUIT   stop when all work is done; again is the same
  INT, Ctrl-C  the same; the second time says what it waits for, the third cuts
  HUP          reload the configuration, then replace all workers one after
               the other; on a terminal that closes: stop
  USR1         open the log file anew
  USR2         have the executable that is now at its path take its place
  TTIN, TTOU   one worker more, one fewer; not on a terminal
  WINCH        stop the workers and keep the sockets, until lastcall start; not
               on a terminal

Exit codes:
  0 everything ended by itself    1 failure                2 usage
  3 a program did not start       4 gave up restarting
  5 a deadline cut work           6 something died during the stop, or was killed
  78 bad configuration`

func (c *cli) runVerb() *cobra.Command {
	var f flags
	verb := &cobra.Command{
		Use:   "run [-f FILE] [flags] [-- COMMAND...]",
		Short: "Run a server in the foreground",
		Long:  runHelp,
		Example: `  lastcall run --workers 4 --listen :8080 -- ./server
  lastcall run --workers 0 --listen 127.0.0.1:8000 -- gunicorn --workers 1 app:app
  lastcall run -f production.toml --log-format json`,
		Args: afterDashes,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := c.inherited(&f)
			if s == nil && err == nil {
				s, err = c.afresh(&f, args)
			}
			if err != nil {
				return err
			}
			report := s.Run()
			if report.Code == control.Done && report.Err == nil {
				return nil
			}
			return &exit{report.Code, report.Err}
		},
	}
	f.define(verb)
	return verb
}

// afresh returns the supervisor that flags and file describe.
func (c *cli) afresh(f *flags, command []string) (*supervisor.Supervisor, error) {
	conf, err := f.load(c.socket, command)
	if err != nil {
		return nil, err
	}
	options, err := c.options(f, conf)
	if err == nil && f.readyFD >= 0 {
		if err = options.Parent.SetLine(f.readyFD); err != nil {
			err = usage(f.verb, fmt.Errorf("--ready-fd: %w", err))
		}
	}
	if err != nil {
		return nil, err
	}
	for _, w := range config.Wrappers(conf) {
		options.Logger.Warn("configuration", "reason", w)
	}
	return supervisor.New(conf, options)
}

// options are all but the configuration that a supervisor needs.
func (c *cli) options(f *flags, conf supervisor.Config) (supervisor.Options, error) {
	above, err := parent.Open()
	if err != nil {
		return supervisor.Options{}, err
	}
	o := supervisor.Options{Kinds: kinds(), Version: version(), Upgrade: acceptState(), Parent: above}
	if f.verb.ArgsLenAtDash() < 0 {
		o.Load = func() (supervisor.Config, error) { return f.load(c.socket, nil) }
	}
	if conf.Log != "" {
		file, err := openLog(conf.Log)
		if err != nil {
			return o, err
		}
		o.Reopen, o.Stdout, o.Stderr = file.reopen, file, file
		o.Logger = logger(f.logFormat, file)
		return o, nil
	}
	// The workers' directly: a full pipe holds up the worker alone.
	o.Stdout, o.Stderr, o.Terminal = c.stdout, c.stderr, isTerminal(c.stdout)
	c.queueStderr(f.logFormat)
	o.Logger = logger(f.logFormat, c.stderr)
	return o, nil
}

// isTerminal asks for the size of a window, which only terminals have.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	raw, err := f.SyscallConn() // not Fd, which would make it blocking for all who share it
	if err != nil {
		return false
	}
	var sizeErr error
	err = raw.Control(func(fd uintptr) { _, sizeErr = unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ) })
	return errors.Join(err, sizeErr) == nil
}
