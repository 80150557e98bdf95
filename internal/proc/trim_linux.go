package proc

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Trim gives back the memory that this process has needed and needs no more:
// free heap, and the pages of its executable that only its start has touched.
// What is needed again of those comes back from the page cache when it is
// touched, one minor fault for each 64 KiB. For a process that from now on does
// little. It may be called from any goroutine; where it cannot be done it does
// nothing.
func Trim() {
	// Each collection halves the stacks that have been larger; the last is
	// FreeOSMemory's.
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	var from, to uintptr
	own := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		var a, b uintptr
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &a, &b, &mode); n == 3 {
			from, to, own = a, b, strings.HasSuffix(line, exe) && !strings.Contains(mode, "w")
		}
		// Written pages would be lost, and what is read-only now may have been
		// relocated before.
		if own && strings.HasPrefix(line, "Anonymous:") && strings.Fields(line)[1] == "0" {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
