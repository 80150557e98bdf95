package sock

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// dropNewcomers has the kernel drop every SYN that is not a SYN-ACK before it
// reaches the listening socket: no handshake begins, those under way go on. A
// filter needs no privilege. Connections accepted later inherit it and are not
// affected: no such segment is theirs.
func dropNewcomers(fd int) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13}, // the flags of the TCP header
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: synFlag | ackFlag},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: synFlag, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},          // drop
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xFFFFFFFF}, // pass all of it
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
	}
	awaitSoftirqs()
	return nil
}

// passNewcomers takes the filter off, if there is one.
func passNewcomers(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	if err == unix.ENOENT {
		return nil
	}
	return os.NewSyscallError("setsockopt SO_DETACH_FILTER", err)
}

const (
	synFlag = 0x02
	ackFlag = 0x10
)

// awaitSoftirqs returns when every segment that another CPU was already
// receiving has been dealt with, so that a SYN which passed before the filter
// is a handshake that halfOpen sees. That is an RCU grace period, and
// membarrier(2) is how to ask for one. Where it may not be called there
// remains a gap of microseconds.
func awaitSoftirqs() {
	const global = 1 // MEMBARRIER_CMD_GLOBAL
	_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0)
}

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
