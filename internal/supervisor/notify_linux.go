package supervisor

import (
	"crypto/rand"
	"fmt"
	"net"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/wire"
)

// openNotify makes the notify socket of a life (sd_notify(3)). Each life has
// its own, so that a datagram needs no pid to be told whose it is. It is an
// abstract socket: that leaves no file behind however the supervisor ends, and
// a worker of another user can reach it; its name cannot be guessed.
func openNotify(id pool.ID) (datagrams, string, error) {
	name := fmt.Sprintf("@lastcall/%s/%d/%s", id.Worker(), id.Life, rand.Text())
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		return nil, "", fmt.Errorf("open notify socket: %w", err)
	}
	return &notifySocket{c}, name, nil
}

// A notifySocket is a notify socket that is read a datagram at a time.
type notifySocket struct{ *net.UnixConn }

// Receive waits for the next datagram, of which it returns at most maxNotify
// bytes, without the descriptors that came with it.
func (s *notifySocket) Receive() ([]byte, error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	datagram, _, _, err := wire.ReadDatagram(raw, maxNotify, nil)
	return datagram, err
}
