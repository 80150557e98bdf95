//go:build !linux

package wire

import "errors"

// ReadDatagram returns errors.ErrUnsupported: see datagram_linux.go. Where there
// is no channel and no notify socket nobody needs it.
func ReadDatagram(func(func(fd uintptr) bool) error, int, []byte) (text, with []byte, flags int, err error) {
	return nil, nil, 0, errors.ErrUnsupported
}
