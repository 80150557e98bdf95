package sock

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// queueLength counts the connections that wait to be accepted.
func queueLength(fd int, network string) (int, error) {
	if network == "unix" {
		return readable(fd)
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt TCP_INFO", err)
	}
	const listen = 10 // TCP_LISTEN: in other states the field counts segments
	if info.State != listen {
		return 0, nil
	}
	return int(info.Unacked), nil
}

// letJoin lets other sockets of this user listen at the same address.
func letJoin(fd int) error {
	return os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

// stopListening ends listening, for every holder of the socket.
func stopListening(fd int) error {
	return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_RD))
}

// limitMode bounds the mode of the file that a bind will make. The kernel
// takes it from the socket's own inode, less the umask.
func limitMode(fd int, mode os.FileMode) error {
	return os.NewSyscallError("fchmod", unix.Fchmod(fd, uint32(mode.Perm())))
}

// peer names the process at the other end of a unix connection.
func peer(c net.Conn) string {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return ""
	}
	who := ""
	_ = raw.Control(func(fd uintptr) {
		if u, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && u.Pid > 0 {
			who = ": " + processName(int(u.Pid))
		}
	})
	return who
}

func acceptQueued(l net.Listener) (net.Conn, error) {
	for {
		fd, err := acceptOne(l)
		switch {
		case err == nil:
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINVAL):
			return nil, nil // EINVAL: shut down by the owner, who found it empty
		case passing(err):
			continue
		default:
			return nil, err
		}
		f := os.NewFile(uintptr(fd), "connection")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			return nil, bare(err)
		}
		if c.RemoteAddr() == nil { // reset while it waited
			c.Close()
			continue
		}
		return c, nil
	}
}

func acceptOne(l net.Listener) (fd int, err error) {
	err = control(l, func(listener int) (err error) {
		fd, _, err = unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return os.NewSyscallError("accept4", err)
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// passing reports whether an error of accept(2) is about the one connection,
// or the network it came from, and the next may be well. See "Error handling"
// in the manual page.
func passing(err error) bool {
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok {
		return false
	}
	switch errno {
	case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT,
		unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.ENETUNREACH:
		return true
	}
	return false
}
