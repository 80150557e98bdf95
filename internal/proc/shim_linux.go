package proc

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// shimPath is this process's executable, also after the file was moved,
// replaced or deleted.
func shimPath() (string, error) { return "/proc/self/exe", nil }

// pins: a descriptor can be executed by its name in /proc.
const pins = true

// closeOnExec keeps the descriptors from first on from the program. Ours are
// close-on-exec anyway; this is about those that we have inherited ourselves.
func closeOnExec(first int) error {
	if unix.CloseRange(uint(first), math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	return closeListed("/proc/self/fd", first) // before Linux 5.11
}

// resetSignals gives the program default dispositions and an empty mask. A
// shell without job control starts what it puts in the background with INT and
// QUIT ignored; a program that inherited this could not be stopped by them.
//
// The runtime's own handlers are undone by the exec in any case. Doing it by
// signal.Notify, for the same effect, would lose a signal that comes in
// between; here it kills the process, as it should.
func resetSignals() error {
	const lastSignal = 64
	for sig := syscall.Signal(1); sig <= lastSignal; sig++ {
		if sig == syscall.SIGHUP {
			continue // ignored means nohup, whose wish is to be inherited
		}
		// It fails for KILL and STOP, which have nothing to reset.
		new(disposition).swap(sig)
	}
	return unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
}
