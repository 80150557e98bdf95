package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Executed returns the living children of a process that have executed a
// program since they were forked, oldest first: a look at a moment. A worker
// that a server has forked and that is the same program still is none, whatever
// title it has given itself. What this process may not look at (ptrace(2)) is
// none either. It may be called from any goroutine.
func Executed(pid int) []Seen {
	parent, ok := image(pid)
	if !ok {
		return nil
	}
	var out []Seen
	for _, child := range childrenOf(pid) {
		if of, ok := image(child); ok && of != parent {
			if seen, ok := See(child); ok {
				out = append(out, seen)
			}
		}
	}
	return out
}

// image tells two executions apart: by the file, and by the addresses that the
// kernel has chosen for it, which a fork leaves as they are and an exec chooses
// anew. Where it does not (personality(2), ADDR_NO_RANDOMIZE), two of one file
// are the same. Rejected: the arguments, over which servers write their titles.
func image(pid int) (of string, ok bool) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "", false // a zombie, or another user's
	}
	auxv, err := os.ReadFile(fmt.Sprintf("/proc/%d/auxv", pid))
	return exe + "\x00" + string(auxv), err == nil && len(auxv) > 0
}

// See looks at a process; false if it has ended, or may not be looked at.
func See(pid int) (Seen, bool) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	line, err := os.ReadFile(dir + "cmdline")
	if err != nil || len(line) == 0 {
		return Seen{}, false
	}
	environ, err := os.ReadFile(dir + "environ")
	if err != nil {
		return Seen{}, false
	}
	exe, err := os.Readlink(dir + "exe")
	if err != nil {
		return Seen{}, false
	}
	cwd, err := os.Readlink(dir + "cwd")
	if err != nil {
		return Seen{}, false
	}
	seen := Seen{PID: pid, Dir: cwd, Exe: strings.TrimSuffix(exe, " (deleted)")}
	seen.Args = strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	for kv := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(kv, []byte("LISTEN_PID=")); ok {
			seen.ListenPID, _ = strconv.Atoi(string(value)) // 0: of nobody
		}
	}
	return seen, true
}
