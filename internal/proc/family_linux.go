package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Family returns a process and all that descend from it, parents first, as far
// as can be seen: a look at a moment, from /proc/PID/task/*/children (proc(5)).
// A child whose parent has ended belongs to the subreaper and is not found. It
// may be called from any goroutine.
func Family(pid int) []int {
	family := []int{pid}
	for i := 0; i < len(family) && i < maxFamily; i++ {
		family = append(family, childrenOf(family[i])...)
	}
	return family
}

// Descends tells whether a process is another one or descends from it, as far as
// can be seen, as Family does. One that has ended does not.
func Descends(pid, from int) bool {
	for range maxDepth {
		if pid == from {
			return true
		}
		if pid = parentOf(pid); pid <= 1 {
			return false
		}
	}
	return false
}

// maxDepth bounds a look upwards, in which processes come and go.
const maxDepth = 100

// parentOf returns the parent of a process, 0 for one that has ended or whose
// parent is in another namespace. Of the line in proc(5), the second word behind
// the name, which may hold any byte.
func parentOf(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(f[1])
	return parent
}

// childrenOf returns the children of a process, the dead ones included.
func childrenOf(pid int) []int {
	var children []int
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, _ := os.ReadDir(dir) // a process that has ended has no children
	for _, t := range threads {
		b, _ := os.ReadFile(dir + "/" + t.Name() + "/children")
		for word := range strings.FieldsSeq(string(b)) {
			if child, err := strconv.Atoi(word); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// maxFamily bounds the look at a process that forks faster than it is looked at.
const maxFamily = 1000

// Memory returns the bytes that a process and its Family have resident, pages
// that they share counted in each, as ps(1) shows them; 0 for one that has
// ended.
func Memory(pid int) int64 {
	var pages int64
	for _, member := range Family(pid) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", member))
		if fields := strings.Fields(string(b)); len(fields) > 1 {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			pages += n
		}
	}
	return pages * int64(os.Getpagesize())
}
