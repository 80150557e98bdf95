//go:build !linux

package wire

import (
	"errors"
	"syscall"
)

// ReadDatagram returns errors.ErrUnsupported: see datagram_linux.go. Where there
// is no channel and no notify socket nobody needs it.
func ReadDatagram(syscall.RawConn, int, []byte) (text, with []byte, flags int, err error) {
	return nil, nil, 0, errors.ErrUnsupported
}
