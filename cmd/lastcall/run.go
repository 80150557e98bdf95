package main

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/control"
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
  HUP          replace all workers one after the other; on a terminal that
               closes: stop

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
			conf, err := f.load(c.socket, args)
			if err != nil {
				return err
			}
			stderr := c.stderr // the workers' directly: a full pipe holds up the worker alone
			c.queueStderr(f.logFormat)
			s, err := supervisor.New(conf, supervisor.Options{
				Logger:   logger(f.logFormat, c.stderr),
				Stdout:   c.stdout,
				Stderr:   stderr,
				Terminal: isTerminal(c.stdout),
				Kinds:    kinds(),
				Version:  version(),
			})
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
