package control

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peer returns the user and process at the other end: for a client those that
// called listen. pid is 0 where this pid namespace cannot see it.
func peer(c *net.UnixConn) (uid, pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, fmt.Errorf("read peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = optErr
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read peer credentials: %w", err)
	}
	return int(cred.Uid), int(cred.Pid), nil
}
