package sock

import (
	"encoding/binary"
	"errors"
	"math"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// succeed listens at a port that is taken, if only by sockets whose newcomers are
// refused (RefuseNewcomers). They let others join; and since theirs is another
// device, the kernel sends them nobody, and knows no group.
//
// Who joins is a group for whoever joins next. So it is looked before whether all
// of them are such sockets, and after, whether another has joined at the same
// time: then both see each other, and give way.
func succeed(a Address, o Options) (net.Listener, error) {
	at, err := net.ResolveTCPAddr(a.Network, a.Address)
	if err != nil {
		return nil, err
	}
	if taking(at.Port) > 0 {
		return nil, syscall.EADDRINUSE
	}
	o.join = true
	l, _, err := bind(a, o)
	if err != nil {
		return nil, err
	}
	if taking(at.Port) > 1 {
		return nil, errors.Join(syscall.EADDRINUSE, l.Close())
	}
	return l, nil
}

// taking counts the sockets that listen at a port, on any address, and take
// newcomers. Where the kernel may not be asked it is many.
func taking(port int) int {
	n := 0
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		err := diagnose(family, uint16(port), listens, func(id handshake) {
			if device := binary.NativeEndian.Uint32(id[36:]); device != nowhere {
				n++
			}
		})
		if err != nil {
			return math.MaxInt
		}
	}
	return n
}
