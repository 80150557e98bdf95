package sock

import (
	"fmt"
	"os"
	"strings"
)

// Elsewhere returns the addresses at which process pid listens by other sockets
// than those, in the order of the kernel's tables, as far as this process may
// see: a look at a moment, which reads the tables of all sockets of its network.
// An abstract unix socket has an @. It may be called from any goroutine.
func Elsewhere(pid int, than []*Listener) []string {
	fds, err := descriptors(pid)
	if err != nil {
		return nil
	}
	held := make(map[string]bool)
	for _, to := range fds {
		held[to] = true
	}
	for _, l := range than {
		delete(held, socketLink(l.inode))
	}
	var out []string
	dir := fmt.Sprintf("/proc/%d/net/", pid)
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(dir + table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			const local, state, inode, listen = 1, 3, 9, "0A"
			if len(f) <= inode || f[state] != listen || !held["socket:["+f[inode]+"]"] {
				continue
			}
			if at, ok := tableAddress(f[local]); ok {
				out = append(out, at.String())
			}
		}
	}
	return append(out, unixElsewhere(dir, held)...)
}

func unixElsewhere(dir string, held map[string]bool) (out []string) {
	b, err := os.ReadFile(dir + "unix")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		const flags, inode, at, acceptsConnections = 3, 6, 7, "00010000"
		if len(f) > at && f[flags] == acceptsConnections && held["socket:["+f[inode]+"]"] {
			out = append(out, "unix:"+f[at])
		}
	}
	return out
}
