package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience bounds everything that a server is waited for.
const patience = 30 * time.Second

// A site is one server under `lastcall run`.
type site struct {
	lab    *lab
	dir    string
	addr   string // of the web server
	socket string // of the supervisor's operators
	client *http.Client
	cmd    *exec.Cmd
	gone   chan struct{} // closed when the supervisor has ended
}

// start runs the server as it is configured, and returns when it is all ready.
func (l *lab) start(ctx context.Context, s server) (*site, error) {
	addr, err := l.settle(s.name)
	if err != nil {
		return nil, err
	}
	if err := l.give(s.name, s.owner); err != nil {
		return nil, err
	}
	dir := l.app(s.name)
	t := &site{lab: l, dir: dir, addr: addr, socket: filepath.Join(l.dir, s.name+".sock"), gone: make(chan struct{})}
	t.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", t.socket)
	}}}
	log, err := os.Create(t.logPath())
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	defer log.Close()
	t.cmd = exec.Command(l.lastcall, "run", "--socket", t.socket, "--log-format", "json")
	t.cmd.Dir, t.cmd.Stdout, t.cmd.Stderr = dir, log, log
	t.cmd.Env = append(environment(s.path()), s.env()...)
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who end it in order
	if err := t.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start lastcall: %w", err)
	}
	go func() {
		defer close(t.gone)
		_ = t.cmd.Wait() // its exit status is looked at when the time has come
	}()
	err = t.until(ctx, "it runs", func(st status) bool { return st.State == "running" })
	if err != nil {
		return nil, errors.Join(err, t.close(l.logs))
	}
	return t, nil
}

func (t *site) logPath() string { return t.dir + ".log" }

// close kills what has not ended by itself, and keeps the log in a directory;
// "": it does not.
func (t *site) close(logs string) error {
	t.client.CloseIdleConnections()
	t.end()
	if logs == "" {
		return nil
	}
	b, err := os.ReadFile(t.logPath())
	if err == nil {
		err = os.WriteFile(filepath.Join(logs, filepath.Base(t.logPath())), b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep log: %w", err)
	}
	return nil
}

func (t *site) end() {
	select {
	case <-t.gone:
		return
	default:
	}
	_ = t.cmd.Process.Signal(syscall.SIGTERM) // it has just ended, or it does not obey
	select {
	case <-t.gone:
	case <-time.After(patience):
		_ = t.cmd.Process.Kill() // its guard, and who adopts orphans, see to the rest
		<-t.gone
	}
}

// A status is what is of interest in `lastcall status --json`.
type status struct {
	State    string
	Programs []struct {
		Name    string
		Workers []life
	}
}

// A life is a process in a slot.
type life struct {
	Worker string
	Life   int
	PID    int
	State  string
}

// web returns the lives in a slot of the web server.
func (s status) web(worker string) (out []life) {
	for _, p := range s.Programs {
		for _, w := range p.Workers {
			if w.Worker == worker {
				out = append(out, w)
			}
		}
	}
	return out
}

// status asks the supervisor.
func (t *site) status(ctx context.Context) (st status, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://lastcall/v1/status", nil)
	if err != nil {
		return st, err
	}
	answer, err := t.client.Do(r)
	if err != nil {
		return st, fmt.Errorf("ask for status: %w", err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&st); err != nil {
		return st, fmt.Errorf("read status: %w", err)
	}
	return st, nil
}

// until returns when something is true of the status.
func (t *site) until(ctx context.Context, what string, holds func(status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if st, err := t.status(ctx); err == nil && holds(st) {
			return nil
		}
		select {
		case <-look.C:
		case <-t.gone:
			return fmt.Errorf("wait until %s: the supervisor has ended: %s", what, t.said())
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w: %s", what, ctx.Err(), t.said())
		}
	}
}

// restart replaces the workers of the web server, one after the other.
func (t *site) restart(ctx context.Context) error {
	_, err := output(exec.CommandContext(ctx, t.lab.lastcall, "restart", "web", "--socket", t.socket))
	return err
}

// said returns the end of the log.
func (t *site) said() string {
	b, err := os.ReadFile(t.logPath())
	if err != nil {
		return err.Error()
	}
	const most = 3000
	return "its last lines:\n" + string(b[max(0, len(b)-most):])
}

// An entry is a line of the supervisor's log.
type entry struct {
	Msg, Worker, Reason, By string
	Life                    int
}

// entries returns the supervisor's part of the log, which the workers write to
// as well.
func (t *site) entries() ([]entry, error) {
	b, err := os.ReadFile(t.logPath())
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	var out []entry
	for line := range bytes.Lines(b) {
		var e entry
		if bytes.HasPrefix(line, []byte(`{"time":`)) && json.Unmarshal(line, &e) == nil {
			out = append(out, e)
		}
	}
	return out, nil
}

// A stopEnd is how a stop has gone.
type stopEnd struct {
	slow  error // of the request that was in progress
	code  int   // of `lastcall run`
	left  []string
	taken error // the address could not be had again
	order error // a helper was asked to end before its users had ended
}

// stop sends TERM while a request of a second is half way.
func (t *site) stop(ctx context.Context, c client) (stopEnd, error) {
	var e stopEnd
	slow := make(chan error, 1)
	go func() { slow <- c.ask(ctx, t.addr, true) }()
	select {
	case <-time.After(slowTime / 2):
	case err := <-slow:
		return e, fmt.Errorf("stop: the slow request has ended at once: %w", errors.Join(err, errors.New(t.said())))
	}
	if err := t.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return e, fmt.Errorf("stop: %w", err)
	}
	e.slow = <-slow // it has a limit of its own
	select {
	case <-t.gone:
	case <-time.After(2 * patience):
		return e, fmt.Errorf("stop: it is still there after %v: %s", 2*patience, t.said())
	}
	e.code = t.cmd.ProcessState.ExitCode()
	e.left = orphans()
	if l, err := net.Listen("tcp", t.addr); err != nil {
		e.taken = err
	} else {
		l.Close()
	}
	e.order = t.inOrder()
	return e, nil
}

// inOrder finds out from the log whether the web server's workers had all ended
// before a helper was asked to.
func (t *site) inOrder() error {
	all, err := t.entries()
	if err != nil {
		return err
	}
	helper := ""
	for _, e := range all {
		web := strings.HasPrefix(e.Worker, "web.")
		switch {
		case e.Msg == "draining" && !web:
			helper = e.Worker
		case e.Msg == "gone" && web && helper != "":
			return fmt.Errorf("%s was asked to end before %s had ended", helper, e.Worker)
		}
	}
	return nil
}
