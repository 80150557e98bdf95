package control

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// Conn is the listening socket, to be handed to another executable that takes
// the place of this one.
func (s *Server) Conn() (syscall.RawConn, error) { return s.listener.SyscallConn() }

// Adopt goes on with a control socket that was handed over at a path; the
// descriptor is closed, the Server has its own. Clients that have connected
// meanwhile wait for Serve.
func Adopt(path string, fd int) (*Server, error) {
	file := os.NewFile(uintptr(fd), path)
	if file == nil {
		return nil, fmt.Errorf("adopt control socket: descriptor %d is not valid", fd)
	}
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("adopt control socket: %w", err)
	}
	listener, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("adopt control socket: descriptor %d is a %T", fd, l)
	}
	listener.SetUnlinkOnClose(false)
	created, err := os.Lstat(path)
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("adopt control socket: %w", err)
	}
	return newServer(path, listener, created), nil
}
