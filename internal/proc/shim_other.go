//go:build !linux

package proc

import "os"

// shimPath is where this process's executable was when it started.
func shimPath() (string, error) { return os.Executable() }

const pins = false

// closeOnExec keeps the descriptors from first on from the program.
func closeOnExec(first int) error { return closeListed("/dev/fd", first) }

// resetSignals does nothing: the exec undoes the runtime's own handlers, and
// what the caller ignores the program ignores too.
func resetSignals() error { return nil }
