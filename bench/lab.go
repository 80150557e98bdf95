package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A lab has what the measurements need: the command, built from this tree, and
// a directory for sockets and logs.
type lab struct {
	dir      string
	lastcall string // the command
	server   string // this program, for its serveRole
	started  int    // trees so far
}

func newLab(ctx context.Context) (*lab, error) {
	server, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	// Below /tmp whatever TMPDIR says: the path of a unix socket has 107 bytes.
	dir, err := os.MkdirTemp("/tmp", "lastcall-bench-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	l := &lab{dir: dir, lastcall: filepath.Join(dir, "lastcall"), server: server}
	if err := l.build(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// build builds the command from the tree that go.mod puts in its place.
func (l *lab) build(ctx context.Context) error {
	root, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/lastcall/lastcall"))
	if err != nil {
		return err
	}
	_, err = output(exec.CommandContext(ctx, "go", "build", "-C", strings.TrimSpace(root), "-o", l.lastcall, "./cmd/lastcall"))
	return err
}

// close removes the directory.
func (l *lab) close() { _ = os.RemoveAll(l.dir) }

// output runs a command to its end. Its error has what the command said.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			said = ": " + strings.TrimSpace(string(exit.Stderr))
		}
		return "", fmt.Errorf("run %s: %w%s", strings.Join(cmd.Args, " "), err, said)
	}
	return string(out), nil
}

// startTimeout bounds the start of a server, stopTimeout the end of one.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
)

// start runs a server and returns when up is true of it and it has as many
// processes as it should.
func (l *lab) start(ctx context.Context, processes int, env, args []string, addr string, up func(context.Context) bool) (*tree, error) {
	l.started++
	log := filepath.Join(l.dir, fmt.Sprintf("%d.log", l.started))
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	defer file.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.dir, file, file
	cmd.Env = append(environment(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who end it in order
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	t := &tree{addr: addr, process: cmd.Process, gone: make(chan struct{}), log: log}
	go func() {
		defer close(t.gone)
		_ = cmd.Wait() // how it ends is not what is measured
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		if len(family(t.process.Pid)) >= processes && up(ctx) {
			return t, nil
		}
		select {
		case <-look.C:
		case <-t.gone:
			return nil, fmt.Errorf("start %s: it has ended: %s", args[0], t.said())
		case <-ctx.Done():
			t.close()
			return nil, fmt.Errorf("start %s: %w: %s", args[0], ctx.Err(), t.said())
		}
	}
}

// environment is ours, less what our own supervisor may have said to us.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		supervised := strings.HasPrefix(kv, "LISTEN_") || strings.HasPrefix(kv, "LASTCALL_") || strings.HasPrefix(kv, "NOTIFY_SOCKET=")
		if !supervised {
			env = append(env, kv)
		}
	}
	return env
}

// freeAddr returns an address that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// ask requests path once and returns the body of its answer.
func ask(addr, path string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, startTimeout)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return "", err
	}
	// HTTP/1.0: the answer ends with the connection, and nothing stays open.
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", path); err != nil {
		return "", err
	}
	all, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if status, _, _ := strings.Cut(head, "\r\n"); !strings.Contains(status, " 200 ") {
		return "", fmt.Errorf("answer: %q", status)
	}
	return body, nil
}
