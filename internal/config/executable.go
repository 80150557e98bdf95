package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// commands finds the executables of the program itself and of stop_command.
func (d *draft) commands() error {
	if len(d.Command) == 0 {
		return d.fail(`add command = ["./server"]`, "has no command")
	}
	var err error
	if d.Path, err = d.find(d.Command[0], d.where("command")); err != nil {
		return err
	}
	if len(d.StopCommand) > 0 {
		d.StopCommand[0], err = d.find(d.StopCommand[0], d.where("stop_command"))
	}
	return err
}

// find returns the absolute path of the executable that name means, as the
// program itself would find it: with a slash as seen from its directory, else
// in its PATH.
func (d *draft) find(name string, at place) (string, error) {
	if strings.Contains(name, "/") {
		path := inPlace(d.Dir, name)
		problem := notExecutable(path)
		if problem == nil {
			return path, nil
		}
		remedy := "check the path"
		if errors.Is(problem, fs.ErrNotExist) {
			remedy = fmt.Sprintf("make it, or correct the path, which is seen from %s", cmp.Or(d.Dir, "the directory lastcall runs in"))
		}
		if errors.Is(problem, fs.ErrPermission) {
			remedy = "try chmod +x " + path
		}
		return "", at.fail(remedy, "%q: %v", name, problem)
	}
	for _, dir := range filepath.SplitList(environment(d.Env, "PATH")) {
		// An empty entry is the program's own directory (execvp(3)).
		if path := inPlace(d.Dir, filepath.Join(dir, name)); notExecutable(path) == nil {
			return path, nil
		}
	}
	remedy := "install it, or write its path"
	if notExecutable(inPlace(d.Dir, name)) == nil {
		remedy = fmt.Sprintf("write %q for the one in its directory", "./"+name)
	}
	return "", at.fail(remedy, "no %q in PATH", name)
}

// notExecutable says why a file cannot be run, nil if it seems it can. Whether
// the program's user may run it is known only when it is tried.
func notExecutable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return bareError(err)
	case info.IsDir():
		return errors.New("is a directory")
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("not executable: %w", fs.ErrPermission)
	}
	return nil
}

// bareError returns the system's error without the path, which is said
// already.
func bareError(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
