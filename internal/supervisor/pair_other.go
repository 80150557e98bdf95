//go:build !linux

package supervisor

import (
	"errors"
	"fmt"
)

// pair is never called: there are no channels here for an end to travel over.
func pair() (sender, receiver int, err error) {
	return -1, -1, fmt.Errorf("make socket pair: %w", errors.ErrUnsupported)
}
