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

func newNotifySocket(c *net.UnixConn, name string) (*notifySocket, error) {
	return &notifySocket{c, name}, nil
}

func (*notifySocket) Receive() ([]byte, sender, error) { return nil, sender{}, errors.ErrUnsupported }
func (*notifySocket) Left() ([]byte, sender, error)    { return nil, sender{}, errors.ErrUnsupported }
