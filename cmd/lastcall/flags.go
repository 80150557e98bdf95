package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/lastcall/lastcall/internal/config"
	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/gate/redis"
	"github.com/lastcall/lastcall/internal/supervisor"
)

// flags are those of run and check.
type flags struct {
	config.Flags
	logFormat string
	readyFD   int
	verb      *cobra.Command
}

func (f *flags) define(verb *cobra.Command) {
	f.verb = verb
	set := verb.Flags()
	set.SortFlags = false
	set.StringVarP(&f.File, "file", "f", "", "configuration `file` (default ./lastcall.toml if there is no COMMAND)")
	set.IntVar(&f.Workers, "workers", 1, "`number` of workers; 0: one for each CPU this process may use")
	set.StringArrayVar(&f.Listen, "listen", nil, "`[NAME=]ADDRESS` to listen on, as :8080, unix:/run/app.sock; may be repeated")
	set.StringVar(&f.Name, "name", "", "`name` of the whole, for people")
	set.DurationVar(&f.DrainTimeout, "drain-timeout", 0, "how long a worker may take to end its work (default 25s)")
	set.StringVar(&f.StopSignal, "stop-signal", "", "`signal` that asks a worker to stop (default TERM)")
	set.StringVar(&f.PIDFile, "pidfile", "", "`file` to write the pid of the supervisor to")
	set.StringVar(&f.Log, "log", "", "`file` for the log and what the workers write (default: stderr and stdout)")
	set.IntVar(&f.readyFD, "ready-fd", -1, "`descriptor` to write a line to when all is up, as of s6's notification-fd")
	set.StringVar(&f.logFormat, "log-format", "text", "`text` or json")
}

// load makes the configuration of flags, environment and file. A socket given
// by flag or environment goes before the file's, for clients know only these. It
// changes nothing in f: two reloads may call it at once.
func (f *flags) load(socket string, command []string) (supervisor.Config, error) {
	if f.logFormat != "text" && f.logFormat != "json" {
		return supervisor.Config{}, usage(f.verb, fmt.Errorf("--log-format is %q, and can be text or json", f.logFormat))
	}
	if f.readyFD < 3 && f.verb.Flags().Changed("ready-fd") {
		return supervisor.Config{}, usage(f.verb, fmt.Errorf("--ready-fd is %d, and descriptors below 3 are stdin, stdout and stderr", f.readyFD))
	}
	given := f.Flags
	given.WorkersSet = f.verb.Flags().Changed("workers")
	given.Socket = cmp.Or(socket, os.Getenv(control.EnvSocket))
	given.Command = command
	conf, err := config.Load(given, kinds())
	if err != nil {
		return conf, err
	}
	if conf.Socket == "" {
		dir, err := os.Getwd()
		if err != nil {
			return conf, fmt.Errorf("find working directory: %w", err)
		}
		conf.Socket = control.DefaultPath(cmp.Or(conf.Name, conf.Programs[0].Name), dir)
	}
	return conf, nil
}

// kinds are the gates and probes of the command: the built-in ones, and those
// that need a client library.
func kinds() map[string]gate.Kind {
	all := gate.Kinds()
	k := redis.Kind()
	all[k.Name] = k
	return all
}

func logger(format string, to io.Writer) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(to, nil))
	}
	return slog.New(slog.NewTextHandler(to, nil))
}

// afterDashes accepts a command only behind "--": without it a flag of the
// command would be taken for one of ours.
func afterDashes(verb *cobra.Command, args []string) error {
	if at := verb.ArgsLenAtDash(); len(args) > 0 && at != 0 {
		return fmt.Errorf(`put "--" before the command: %s ... -- %s`, verb.CommandPath(), args[0])
	} else if at == 0 && len(args) == 0 {
		return errors.New(`there is no command after "--"`)
	}
	return nil
}
