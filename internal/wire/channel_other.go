//go:build !linux

package wire

import (
	"errors"
	"fmt"
)

// Pair returns errors.ErrUnsupported: other systems have no unix socket that
// keeps both the order and the bounds of messages, and workers there are asked
// to stop by signal alone.
func Pair() (parent *Channel, childFD int, err error) {
	return nil, -1, fmt.Errorf("make channel: %w", errors.ErrUnsupported)
}
