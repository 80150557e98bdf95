package sock

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Take returns a Listener on a descriptor that somebody else has bound and
// listens on, and passed to this process. It is the Listener's from here on,
// close-on-exec and nonblocking, for all who share it: whoever passes a socket does
// not accept from it. A unix path stays when it is closed: it is its maker's,
// unless OwnPath says otherwise. The error is one line that says what the
// descriptor is instead; then it stays open.
func Take(fd int) (*Listener, error) {
	a, inode, err := taken(fd)
	if err != nil {
		return nil, fmt.Errorf("take descriptor %d: %w", fd, err)
	}
	return &Listener{address: a, inode: inode, fd: fd}, nil
}

func taken(fd int) (a Address, inode uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return a, 0, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return a, 0, errors.New("it is not a socket")
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return a, 0, os.NewSyscallError("getsockopt SO_TYPE", err)
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return a, 0, os.NewSyscallError("getsockopt SO_ACCEPTCONN", err)
	}
	if kind != unix.SOCK_STREAM || listens == 0 {
		return a, 0, errors.New("it is not a stream socket that listens; of systemd's only those of ListenStream= with Accept=no are")
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		return a, 0, os.NewSyscallError("getsockname", err)
	}
	switch at := at.(type) {
	case *unix.SockaddrInet4:
		a = Address{"tcp", netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)).String()}
	case *unix.SockaddrInet6:
		a = Address{"tcp", netip.AddrPortFrom(netip.AddrFrom16(at.Addr).Unmap(), uint16(at.Port)).String()}
	case *unix.SockaddrUnix:
		a = Address{"unix", at.Name}
	default:
		return a, 0, errors.New("it is neither TCP nor a unix socket")
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return a, 0, os.NewSyscallError("fcntl", err)
	}
	return a, uint64(st.Ino), nil
}

// At reports whether the socket is bound where a says; a port 0 is none in
// particular. It looks up a host's name, and so may take its time.
func (l *Listener) At(a Address) bool {
	if (a.Network == "unix") != (l.address.Network == "unix") {
		return false
	}
	if a.Network == "unix" {
		return absolute(a.Address) == absolute(l.address.Address)
	}
	want, err := net.ResolveTCPAddr(a.Network, a.Address)
	if err != nil {
		return false
	}
	is, err := netip.ParseAddrPort(l.address.Address)
	if err != nil || want.Port != 0 && want.Port != int(is.Port()) {
		return false
	}
	ip, _ := netip.AddrFromSlice(want.IP)
	ip = ip.Unmap()
	if !ip.IsValid() || ip.IsUnspecified() {
		return is.Addr().IsUnspecified()
	}
	return ip == is.Addr()
}

func absolute(path string) string {
	if path == "" || path[0] == '@' {
		return path
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// OwnPath makes the file at the path of a unix socket this Listener's, as if it
// had bound it, with the permissions of mode unless that is 0. It returns false
// when there is no socket at the path: nobody can connect any more.
func (l *Listener) OwnPath(mode os.FileMode) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.address.Network != "unix" || l.address.Address[0] == '@' {
		return true
	}
	path := absolute(l.address.Address)
	file, err := os.Lstat(path)
	if err != nil || file.Mode().Type() != os.ModeSocket {
		return false
	}
	if mode != 0 && os.Chmod(path, mode.Perm()) != nil {
		return false
	}
	l.path = &boundPath{path: path, file: file}
	return true
}

// LeavePath has the path of a unix socket stay when this Listener is closed:
// somebody else listens on there.
func (l *Listener) LeavePath() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.path = nil
}
