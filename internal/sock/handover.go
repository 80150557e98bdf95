package sock

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Handover is a Listener as it is handed to another executable that takes
// the place of this one.
type Handover struct {
	Address Address
	FD      int
	Path    string // of a unix socket, absolute; "": it has no file that is ours
}

// HandOver returns what Adopt needs. The Listener stays as it is.
func (l *Listener) HandOver() Handover {
	h := Handover{Address: l.address, FD: l.FD()}
	// A quiesced one has removed its path, which may be a successor's by now.
	if ours, _ := l.path.ours(); ours {
		h.Path = l.path.path
	}
	return h
}

// Adopt goes on with a Listener that was handed over; the descriptor is its own
// from here on.
func Adopt(h Handover) (*Listener, error) {
	var st unix.Stat_t
	if err := unix.Fstat(h.FD, &st); err != nil {
		return nil, fmt.Errorf("adopt listener %s: %w", h.Address, os.NewSyscallError("fstat", err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, fmt.Errorf("adopt listener %s: descriptor %d is no socket", h.Address, h.FD)
	}
	unix.CloseOnExec(h.FD)
	l := &Listener{address: h.Address, inode: uint64(st.Ino), fd: h.FD}
	if h.Path != "" {
		file, err := os.Lstat(h.Path)
		if err == nil { // else somebody has removed it
			l.path = &boundPath{path: h.Path, file: file}
		}
	}
	return l, nil
}
