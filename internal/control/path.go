package control

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// EnvSocket is the environment variable that names the control socket, for the
// supervisor and for its clients alike.
const EnvSocket = "LASTCALL_SOCKET"

// DefaultPath is where the supervisor called name, started in the directory
// dir, listens when it is not told otherwise: in $RUNTIME_DIRECTORY, else in
// $XDG_RUNTIME_DIR/lastcall, else in a directory of this user's under the
// directory for temporary files. The file's name carries a digest of dir, by
// which Find knows the supervisor of a directory. Nothing is created.
func DefaultPath(name, dir string) string {
	return filepath.Join(runtimeDirs()[0], fileName(name)+"-"+digest(dir)+".sock")
}

// nameLength keeps a path below a long TMPDIR within what the kernel takes.
const nameLength = 24

func fileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '_'
	}, name)
	if safe == "" {
		return "lastcall"
	}
	return safe[:min(len(safe), nameLength)]
}

// digest names a directory by its real path, so that a symbolic link and what
// it points at are one.
func digest(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:4])
}

// runtimeDirs lists where sockets may be, the first being where a new one
// goes. Clients look in all: a supervisor that cron started has no
// XDG_RUNTIME_DIR, and its operator's shell has one.
func runtimeDirs() []string {
	var dirs []string
	// systemd gives a list separated by colons when a unit has several.
	if first, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); first != "" {
		dirs = append(dirs, first)
	}
	return append(dirs, ownDirs()...)
}

// ownDirs lists the directories that are this package's to create, and to
// refuse when they are not private.
func ownDirs() []string {
	var dirs []string
	// su and sudo -E leave the variable of another user behind; a directory
	// that is not ours does not count.
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); xdg != "" && ownedByUs(xdg) {
		dirs = append(dirs, filepath.Join(xdg, "lastcall"))
	}
	return append(dirs, filepath.Join(os.TempDir(), fmt.Sprintf("lastcall-%d", os.Geteuid())))
}

func ownedByUs(dir string) bool {
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir() && owner(info) == os.Geteuid()
}

func owner(info os.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// checkPrivate returns an error unless dir is a real directory that only we
// may enter: under a world-writable directory anybody could have made it first.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case owner(info) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, not to %d; give another --socket", dir, owner(info), os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others (mode %#o); chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	return nil
}

// Find returns the path of the control socket that is meant when nobody said
// which: $LASTCALL_SOCKET as it is; else that of the only supervisor that
// answers among those started in dir; else that of the only one that answers
// at all. Several are an error that lists them; for none errors.Is(err,
// ErrNotRunning) holds. Sockets that do not answer are passed over and left.
func Find(dir string) (string, error) {
	if path := os.Getenv(EnvSocket); path != "" {
		return path, nil
	}
	suffix := "-" + digest(dir) + ".sock"
	var here, all []answering
	for _, a := range answeringSockets() {
		all = append(all, a)
		if strings.HasSuffix(a.path, suffix) {
			here = append(here, a)
		}
	}
	found, where := all, ""
	if len(here) > 0 {
		found, where = here, " in "+dir
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w: none answers for %s, nor elsewhere; one with a socket of its own is found by --socket PATH", ErrNotRunning, dir)
	case 1:
		return found[0].path, nil
	}
	list := make([]string, len(found))
	for i, a := range found {
		list[i] = fmt.Sprintf("%s (pid %d)", a.path, a.pid)
	}
	return "", fmt.Errorf("find supervisor: %d are running%s: %s; say which with --socket PATH", len(found), where, strings.Join(list, ", "))
}

type answering struct {
	path string
	pid  int
}

// answeringSockets lists the sockets somebody answers on, by the names that
// DefaultPath makes: RUNTIME_DIRECTORY may hold sockets of the application too,
// and those are not ours to dial.
func answeringSockets() []answering {
	ours := regexp.MustCompile(`^[A-Za-z0-9_-]+-[0-9a-f]{8}\.sock$`)
	var found []answering
	dirs := runtimeDirs()
	for i, dir := range dirs {
		if slices.Contains(dirs[:i], dir) || (slices.Contains(ownDirs(), dir) && checkPrivate(dir) != nil) {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // absent, or not for us to read: no supervisor of ours
		}
		for _, e := range entries {
			if !ours.MatchString(e.Name()) {
				continue
			}
			path := filepath.Join(dir, e.Name())
			if pid, err := answers(path); err == nil {
				found = append(found, answering{path, pid})
			}
		}
	}
	return found
}
