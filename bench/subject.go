package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// A subject is a way to run a server, to be measured.
type subject struct {
	name  string
	start func(ctx context.Context, env ...string) (*tree, error)
}

func (l *lab) bare() subject {
	return subject{"`http.Server` with `Shutdown`, alone", func(ctx context.Context, env ...string) (*tree, error) {
		return l.alone(ctx, env, "-bare")
	}}
}

func (l *lab) packaged() subject {
	return subject{"package lastcall, alone", func(ctx context.Context, env ...string) (*tree, error) {
		return l.alone(ctx, env)
	}}
}

// alone starts the server without a supervisor.
func (l *lab) alone(ctx context.Context, env []string, args ...string) (*tree, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args = append([]string{l.server, serveRole, "-addr", addr}, args...)
	return l.start(ctx, 1, env, args, addr, answers(addr))
}

func answers(addr string) func(context.Context) bool {
	return func(context.Context) bool {
		_, err := ask(addr, "/")
		return err == nil
	}
}

// supervised is that many workers, with more arguments if there are any.
func (l *lab) supervised(workers int, more ...string) subject {
	name := fmt.Sprintf("`lastcall run`, %d workers", workers)
	return subject{name, func(ctx context.Context, env ...string) (*tree, error) {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		socket := filepath.Join(l.dir, strconv.Itoa(l.started)+".sock")
		args := []string{
			l.lastcall, "run", "--workers", strconv.Itoa(workers), "--listen", addr, "--socket", socket,
			"--", l.server, serveRole, "-addr", addr,
		}
		args = append(args, more...)
		t, err := l.start(ctx, 1+workers, env, args, addr, func(ctx context.Context) bool { return l.running(ctx, socket) })
		if err == nil {
			t.socket = socket
		}
		return t, err
	}}
}

// running reports whether a supervisor has all its workers ready.
func (l *lab) running(ctx context.Context, socket string) bool {
	out, err := output(exec.CommandContext(ctx, l.lastcall, "status", "--json", "--socket", socket))
	if err != nil {
		return false
	}
	var status struct {
		State string `json:"state"`
	}
	return json.Unmarshal([]byte(out), &status) == nil && status.State == "running"
}

//go:embed gunicorn.py
var gunicornApp []byte

// gunicorn is there for comparison where it is installed.
func (l *lab) gunicorn(workers int) (subject, bool) {
	path, err := exec.LookPath("gunicorn")
	if err != nil {
		return subject{}, false
	}
	return subject{fmt.Sprintf("gunicorn, %d workers", workers), func(ctx context.Context, env ...string) (*tree, error) {
		if err := os.WriteFile(filepath.Join(l.dir, "app.py"), gunicornApp, 0o600); err != nil {
			return nil, fmt.Errorf("write application: %w", err)
		}
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		args := []string{path, "--workers", strconv.Itoa(workers), "--bind", addr, "app:app"}
		return l.start(ctx, 1+workers, env, args, addr, answers(addr))
	}}, true
}
