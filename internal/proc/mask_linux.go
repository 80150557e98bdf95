package proc

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BlockSignals keeps signals from the calling thread, and the goroutine on that
// thread, until restore, which the same goroutine must call. It is for the one
// that executes another Go program in the place of this one: a signal that comes
// before that program has called signal.Notify waits in the kernel until then,
// and does not end it. (Notify unblocks what it is asked for, in a thread of its
// own.) That holds for all but TERM, INT, QUIT and HUP, which Go's runtime
// unblocks before any code of a program runs, and before it has handlers (minit
// comes before initsig): what is pending then has the effect that was inherited,
// to end the process or, of what is ignored, none. To block these in all threads
// would keep them no further. Other threads of this program still take signals.
func BlockSignals(signals []os.Signal) (restore func()) {
	var set unix.Sigset_t
	const bits = 8 * int(unsafe.Sizeof(set.Val[0]))
	for _, sig := range signals {
		n := int(sig.(syscall.Signal)) - 1
		set.Val[n/bits] |= 1 << (n % bits)
	}
	return mask(unix.SIG_BLOCK, &set)
}

// UnblockSignals lets all signals through to the calling thread, and keeps the
// goroutine on it, until restore, which the same goroutine must call. It is for
// what starts a program without the shim, which inherits the mask: in a program
// that was executed under BlockSignals that of most threads is not empty.
func UnblockSignals() (restore func()) { return mask(unix.SIG_SETMASK, &unix.Sigset_t{}) }

// DefaultSignals gives signals the action that the kernel has for them, until
// restore: of TERM and its like, to end the process. It is for the one that
// executes another program in the place of this one. A signal that a thread of
// this program catches, though only to end it, is lost once the exec has begun
// to end that thread (signal.Reset leaves the runtime's handler where it is);
// one that no thread catches ends the process at once, or waits for the program
// to come.
func DefaultSignals(signals ...syscall.Signal) (restore func()) {
	old := make([]disposition, len(signals))
	for i, sig := range signals {
		old[i].swap(sig)
	}
	return func() {
		for i, sig := range signals {
			old[i].swap(sig)
		}
	}
}

// A disposition is the kernel's struct sigaction, or less than this; SIG_DFL is
// its zero value.
type disposition [8]uint64

// swap makes d what is done at a signal, and d what was. It fails, and d stays,
// for KILL and STOP only.
func (d *disposition) swap(sig syscall.Signal) {
	const maskSize = 8
	was := *d
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(d)), uintptr(unsafe.Pointer(&was)), maskSize, 0, 0); errno == 0 {
		*d = was
	}
}

// mask changes the mask of this thread. Neither call can fail.
func mask(how int, set *unix.Sigset_t) (restore func()) {
	runtime.LockOSThread()
	var old unix.Sigset_t
	_ = unix.PthreadSigmask(how, set, &old)
	return func() {
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
		runtime.UnlockOSThread()
	}
}
