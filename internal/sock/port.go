package sock

import (
	"fmt"
	"net"
	"strconv"
)

// Port returns the same address n ports further on. It is an error if the port
// is not a number, is 0, or would be above 65535; a unix address has none.
func (a Address) Port(n int) (Address, error) {
	host, port, err := net.SplitHostPort(a.Address)
	if err != nil || a.Network == "unix" {
		return Address{}, fmt.Errorf("%s has no port", a)
	}
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil || first == 0 {
		return Address{}, fmt.Errorf("the port of %s is not a number from 1 to 65535", a)
	}
	if n += int(first); n < 1 || n > MaxPort {
		return Address{}, fmt.Errorf("port %d is above %d", n, MaxPort)
	}
	a.Address = net.JoinHostPort(host, strconv.Itoa(n))
	return a, nil
}

// MaxPort is the highest port there is.
const MaxPort = 65535
