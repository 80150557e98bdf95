package supervisor

import (
	"crypto/rand"
	"fmt"
	"net"

	"github.com/lastcall/lastcall/internal/pool"
)

// openNotify makes the notify socket of a life (sd_notify(3)). Each life has
// its own, so that a datagram needs no pid to be told whose it is. It is an
// abstract socket: that leaves no file behind however the supervisor ends, and
// a worker of another user can reach it; its name cannot be guessed.
func openNotify(id pool.ID) (source, string, error) {
	name := fmt.Sprintf("@lastcall/%s/%d/%s", id.Worker(), id.Life, rand.Text())
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		return nil, "", fmt.Errorf("open notify socket: %w", err)
	}
	return c, name, nil
}
