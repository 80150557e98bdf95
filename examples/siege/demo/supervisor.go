package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A supervisor is a running `lastcall run`, seen through its command.
type supervisor struct {
	lastcall, dir, socket string

	cmd     *exec.Cmd
	ended   chan struct{} // closed when it has ended; code is valid then
	code    int
	workers []process // as of the last ready
	helpers []process
}

// A process is one of the tree, as people name it.
type process struct {
	name string
	pid  int
}

func start(lastcall, dir string) (*supervisor, error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &supervisor{lastcall: lastcall, dir: dir, socket: filepath.Join(dir, "control.sock"), ended: make(chan struct{})}
	s.cmd = exec.Command(lastcall, "run", "--socket", s.socket)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, log, log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	go func() {
		_ = s.cmd.Wait() // the exit code says it all
		s.code = s.cmd.ProcessState.ExitCode()
		close(s.ended)
	}()
	return s, nil
}

// end leaves nothing behind, whatever has happened: a stop, and then a kill.
func (s *supervisor) end() {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-s.ended:
			return
		default:
		}
		_ = s.cmd.Process.Signal(sig) // it may have ended meanwhile
		select {
		case <-s.ended:
		case <-time.After(20 * time.Second):
		}
	}
}

// wait returns the exit code.
func (s *supervisor) wait(ctx context.Context) (int, error) {
	select {
	case <-s.ended:
		return s.code, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(30 * time.Second):
		return 0, errors.New("the supervisor did not end")
	}
}

// verb runs `lastcall VERB` and returns its last line if it fails.
func (s *supervisor) verb(ctx context.Context, verb string) error {
	cmd := exec.CommandContext(ctx, s.lastcall, verb, "--socket", s.socket)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("lastcall %s: %w: %s", verb, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// ready waits until every worker is ready, and notes who they are.
func (s *supervisor) ready(ctx context.Context) error {
	err := poll(ctx, 20*time.Second, func() (bool, error) {
		select {
		case <-s.ended:
			return false, fmt.Errorf("the supervisor ended, exit code %d", s.code)
		default:
			return s.status(ctx), nil
		}
	})
	if err != nil {
		return fmt.Errorf("wait until ready: %w", err)
	}
	return nil
}

// status asks who there is, and reports whether all are ready. A question that
// fails is asked again.
func (s *supervisor) status(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, s.lastcall, "status", "--json", "--socket", s.socket).Output()
	if err != nil {
		return false
	}
	var st struct {
		Programs []struct {
			Name    string
			Wanted  int
			Workers []struct {
				Worker string
				PID    int
				State  string
			}
		}
	}
	if err := json.Unmarshal(out, &st); err != nil || len(st.Programs) == 0 {
		return false
	}
	s.workers, s.helpers = nil, nil
	for _, p := range st.Programs {
		if len(p.Workers) != p.Wanted {
			return false
		}
		for _, w := range p.Workers {
			if w.State != "ready" {
				return false
			}
			if p.Name == "web" {
				s.workers = append(s.workers, process{w.Worker, w.PID})
			} else {
				s.helpers = append(s.helpers, process{w.Worker, w.PID})
			}
		}
	}
	return len(s.workers) > 0
}

// tree returns all processes in the order in which they are to end.
func (s *supervisor) tree() []process {
	all := append([]process(nil), s.workers...)
	all = append(all, s.helpers...)
	return append(all, process{"supervisor", s.cmd.Process.Pid})
}
