package proc

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Pin opens the executable at path, so that Spec.Pinned runs it also after the
// file has been moved, replaced or deleted. The caller closes it; what runs
// does not need it.
//
// It returns nil, without an error, for what cannot be pinned: a script, which
// its interpreter opens by name; a file that may be executed and not read; one
// that is not there, which is for Start to say; and everything where there is
// no /proc. A file that is written to in place, rather than replaced, changes
// for those who have it pinned too.
func Pin(path string) (*os.File, error) {
	if !pins {
		return nil, nil
	}
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("pin executable: %w", err)
	}
	var magic [2]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil || string(magic[:]) == "#!" {
		return nil, f.Close()
	}
	return f, nil
}

// executable returns by what name to execute the program. Its own one as long
// as that still leads to the same file: the kernel shows people the last part.
func (o order) executable() string {
	fd := 3 + o.files
	var pinned, there syscall.Stat_t
	if !o.pinned || syscall.Fstat(fd, &pinned) != nil {
		return o.path
	}
	if syscall.Stat(o.path, &there) == nil && there.Dev == pinned.Dev && there.Ino == pinned.Ino {
		return o.path
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd)
}
