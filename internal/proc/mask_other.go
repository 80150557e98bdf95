//go:build !linux

package proc

import (
	"os"
	"syscall"
)

// BlockSignals does nothing here: see mask_linux.go.
func BlockSignals([]os.Signal) (restore func()) { return func() {} }

// DefaultSignals does nothing here: see mask_linux.go.
func DefaultSignals(...syscall.Signal) (restore func()) { return func() {} }

// UnblockSignals does nothing here: see mask_linux.go.
func UnblockSignals() (restore func()) { return func() {} }
