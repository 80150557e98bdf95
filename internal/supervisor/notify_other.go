//go:build !linux

package supervisor

import (
	"errors"
	"net"

	"github.com/lastcall/lastcall/internal/pool"
)

// openNotify: there is no notify socket where there is no systemd.
func openNotify(pool.ID) (datagrams, string, error) { return nil, "", nil }

type notifySocket struct{ *net.UnixConn }

func (*notifySocket) Receive() ([]byte, error) { return nil, errors.ErrUnsupported }
