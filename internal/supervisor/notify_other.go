//go:build !linux

package supervisor

import (
	"errors"
	"net"

	"github.com/lastcall/lastcall/internal/pool"
)

// notifyDir: nothing needs one.
func notifyDir() (string, error) { return "", nil }

// openNotify: there is no notify socket where there is no systemd.
func openNotify(pool.ID, string) (datagrams, string, error) { return nil, "", nil }

type notifySocket struct {
	*net.UnixConn
	name string
}

func (*notifySocket) Receive() ([]byte, error) { return nil, errors.ErrUnsupported }
