package sock

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// holder describes the process that listens where a socket for a would, as
// far as this process may see; "" where it may not. For an error message: it
// is a look at a moment, and of several holders one is named.
func holder(a Address) string {
	inode := ""
	switch a.Network {
	case "unix":
		inode = findUnix(a.Address)
	default:
		want, err := net.ResolveTCPAddr(a.Network, a.Address)
		if err != nil {
			return ""
		}
		if inode = findTCP("/proc/net/tcp", want); inode == "" {
			inode = findTCP("/proc/net/tcp6", want)
		}
	}
	if inode == "" {
		return ""
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(link, "/")[2]); err == nil {
			return processName(pid)
		}
	}
	return ""
}

// findTCP returns the inode of a listening socket that conflicts with want.
func findTCP(table string, want *net.TCPAddr) string {
	b, err := os.ReadFile(table)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		const local, state, inode, listen = 1, 3, 9, "0A"
		if len(f) <= inode || f[state] != listen {
			continue
		}
		at, ok := tableAddress(f[local])
		if !ok || int(at.Port()) != want.Port {
			continue
		}
		ip, _ := netip.AddrFromSlice(want.IP)
		if at.Addr().IsUnspecified() || !ip.IsValid() || ip.IsUnspecified() || at.Addr() == ip.Unmap() {
			return f[inode]
		}
	}
	return ""
}

// tableAddress reads an address of /proc/net/tcp: words in the machine's order
// of bytes, in hexadecimal, then the port.
func tableAddress(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.NativeEndian.Uint32(b[i:]))
	}
	ip, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), ok
}

// findUnix returns the inode of the socket listening at a path or name.
func findUnix(path string) string {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.Join(strings.Fields(line), " "), " ", 8)
		const flags, inode, at, acceptsConnections = 3, 6, 7, "00010000"
		if len(f) > at && f[flags] == acceptsConnections && f[at] == path {
			return f[inode]
		}
	}
	return ""
}

// processName describes a process for an error message.
func processName(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return fmt.Sprintf("pid %d", pid)
	}
	name := strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' ' // the zero bytes between arguments, and what would spoil a line
		}
		return r
	}, string(b)))
	const enough = 60
	if r := []rune(name); len(r) > enough {
		name = string(r[:enough]) + "..."
	}
	return fmt.Sprintf("pid %d (%s)", pid, name)
}
