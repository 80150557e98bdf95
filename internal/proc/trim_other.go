//go:build !linux

package proc

import "runtime/debug"

// Trim gives free heap back.
func Trim() { debug.FreeOSMemory() }
