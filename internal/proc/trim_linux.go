package proc

import (
	"bufio"
	"fmt"
	"os"
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
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to uintptr
		var mode string
		line := lines.Text()
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasSuffix(line, exe) || strings.Contains(mode, "w") {
			continue
		}
		// Written pages would be lost; these cannot have been written.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
	}
}
