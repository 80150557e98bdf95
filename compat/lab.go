package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A lab has what all servers need: the command, built from this tree, and a
// copy of what they are configured with, everything built.
type lab struct {
	dir      string // has the folders of this tree that matter here
	lastcall string // the command
	logs     string // where the servers' logs are kept; "": nowhere
}

func newLab(ctx context.Context, logs string) (*lab, error) {
	// Below /tmp whatever TMPDIR says: the path of a unix socket has 107 bytes.
	dir, err := os.MkdirTemp("/tmp", "lastcall-compat-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	l := &lab{dir: dir, lastcall: filepath.Join(dir, "bin", "lastcall"), logs: logs}
	if err := l.furnish(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// close removes the directory.
func (l *lab) close() { _ = os.RemoveAll(l.dir) }

func (l *lab) furnish(ctx context.Context) error {
	if err := os.Chmod(l.dir, 0o755); err != nil { // PostgreSQL runs as another user
		return fmt.Errorf("open directory: %w", err)
	}
	if err := os.CopyFS(filepath.Join(l.dir, "compat", "apps"), os.DirFS("apps")); err != nil {
		return fmt.Errorf("copy apps: %w", err)
	}
	if err := os.CopyFS(filepath.Join(l.dir, "clients"), os.DirFS("../clients")); err != nil {
		return fmt.Errorf("copy clients: %w", err)
	}
	bin := filepath.Join(l.dir, "bin") + "/"
	// The command is built by its own go.mod: that is what users get.
	for _, args := range [][]string{{"-C", "..", "-o", bin, "./cmd/lastcall"}, {"-o", bin, "./apps/..."}} {
		if _, err := output(exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)); err != nil {
			return err
		}
	}
	built, err := os.ReadDir(bin)
	if err != nil {
		return fmt.Errorf("find what was built: %w", err)
	}
	for _, e := range built {
		app := l.app(e.Name())
		if _, err := os.Stat(app); err != nil {
			continue // the command itself
		}
		if err := os.Link(filepath.Join(bin, e.Name()), filepath.Join(app, e.Name())); err != nil {
			return fmt.Errorf("put executable into its directory: %w", err)
		}
	}
	return nil
}

// app is the directory of a server's configuration.
func (l *lab) app(name string) string { return filepath.Join(l.dir, "compat", "apps", name) }

// settle makes the copied configuration of a server fit for this machine: its
// ports are free ones, and it names a user only where one can be chosen. It
// returns the address of the web server.
func (l *lab) settle(name string) (addr string, err error) {
	ports, err := freePorts(3)
	if err != nil {
		return "", err
	}
	replace := strings.NewReplacer("8080", ports[0], "6379", ports[1], "5432", ports[2])
	err = filepath.WalkDir(l.app(name), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".toml", ".conf", ".js"}, filepath.Ext(path)) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := strings.Split(replace.Replace(string(text)), "\n")
		lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "user = ") && os.Geteuid() != 0 })
		return os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644)
	})
	if err != nil {
		return "", fmt.Errorf("settle configuration: %w", err)
	}
	return "127.0.0.1:" + ports[0], nil
}

// freePorts returns different ports that nobody listens on.
func freePorts(n int) (ports []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find port: %w", err)
		}
		defer l.Close() // at the end, or the next one could be the same
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

// give makes a user the owner of a server's directory, if that can be done.
func (l *lab) give(name, owner string) error {
	if owner == "" || os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup(owner)
	if err != nil {
		return fmt.Errorf("give directory away: %w", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2, os.Chown(l.app(name), uid, gid)); err != nil {
		return fmt.Errorf("give directory away: %w", err)
	}
	return nil
}

// output runs a command to its end. Its error has what the command said.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	if err != nil {
		said := string(out)
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			said += string(exit.Stderr)
		}
		return "", fmt.Errorf("run %s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(said))
	}
	return string(out), nil
}

// environment is ours, less what our own supervisor may have said to us, with
// directories before those that are searched for executables.
func environment(path []string) []string {
	var env []string
	for _, kv := range os.Environ() {
		supervised := strings.HasPrefix(kv, "LISTEN_") || strings.HasPrefix(kv, "LASTCALL_") || strings.HasPrefix(kv, "NOTIFY_SOCKET=")
		if !supervised && !strings.HasPrefix(kv, "PATH=") {
			env = append(env, kv)
		}
	}
	return append(env, "PATH="+strings.Join(append(path, os.Getenv("PATH")), ":"))
}
