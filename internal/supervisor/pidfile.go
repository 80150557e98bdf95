package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// checkPIDFile says why our pid may not be written to path: the file names
// another process that runs, or is not a pid file at all. One that was left
// behind, or is empty, may be replaced. "": no file.
func checkPIDFile(path string) error {
	if path == "" {
		return nil
	}
	const remedy = "; give another --pidfile"
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.Mode().IsRegular() {
		// It would be replaced, even if it were /dev/null.
		return fmt.Errorf("pid file %s is not a regular file%s", path, remedy)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read pid file %s: %w%s", path, cause(err), remedy)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if first == "" {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return fmt.Errorf("pid file %s holds something else than a pid%s", path, remedy)
	}
	if pid != os.Getpid() && runs(pid) {
		return fmt.Errorf("pid file %s names pid %d, which runs; stop it, or give this one another --pidfile", path, pid)
	}
	return nil
}

// runs tells whether there is a process of that id. kill(2) finds threads by
// their ids, too: in a container, where ids are few, that of our predecessor
// easily is one of our own threads'.
func runs(pid int) bool {
	if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(pid)); err == nil {
		return false
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// writePIDFile writes our pid where the operator wants it, whole or not at
// all, and returns what removes it again, if it is still ours. "": no file.
func writePIDFile(path string) (remove func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	// Again: another may have started while this one bound its sockets.
	if err := checkPIDFile(path); err != nil {
		return nil, err
	}
	text := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err := replaceFile(path, text); err != nil {
		return nil, fmt.Errorf("write pid file %s: %w; make its directory, let this user write there, or choose another --pidfile", path, cause(err))
	}
	return func() {
		if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, text) {
			os.Remove(path)
		}
	}, nil
}

// replaceFile writes a file that all may read, and leaves nothing else behind.
func replaceFile(path string, text []byte) error {
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	_, err = part.Write(text)
	if err = errors.Join(err, part.Chmod(0o644), part.Close()); err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		os.Remove(part.Name())
	}
	return err
}

// cause is a file system's error without the path, which may be that of a part
// the operator has never heard of.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
