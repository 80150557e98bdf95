//go:build !linux

package handoff

import (
	"errors"
	"fmt"
)

// Pair returns errors.ErrUnsupported: other systems have no unix socket that
// keeps both the order and the bounds of messages.
func Pair() (sender, receiver int, err error) {
	return -1, -1, fmt.Errorf("make pair: %w", errors.ErrUnsupported)
}

const receiveFlags = 0

// readMarks knows nothing: without a pair nobody asks.
func readMarks(int) *marks { return nil }
