//go:build !linux

package control

import (
	"net"
	"os"
)

// peer knows nothing here, and takes the other end for ourselves: the mode of
// the socket and of its directory are what keeps others out.
func peer(*net.UnixConn) (uid, pid int, err error) { return os.Geteuid(), 0, nil }
