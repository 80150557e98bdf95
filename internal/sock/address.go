package sock

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"unicode"
)

// An Address is where a socket listens. It is comparable; the zero value is no
// address.
type Address struct {
	Network string // "tcp", "tcp4", "tcp6" or "unix"
	Address string // host:port, or a path; "@" begins an abstract name (Linux)
}

// maxPath is the longest path a unix socket can have: the kernel's field less
// the zero that ends it (107 bytes on Linux, 103 on darwin).
const maxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// ParseAddress reads an address as people write it: "127.0.0.1:8080", ":8080"
// (every address, both families), "[::1]:80", "/run/x.sock", "./x.sock"; or
// with the network named: "tcp:", "tcp4:", "tcp6:", "unix:", where
// "unix:@name" is an abstract name. It resolves nothing and touches no file: a
// host name is taken as it is. The error is one line and says what to write
// instead.
func ParseAddress(s string) (Address, error) {
	a, err := parseAddress(s)
	if err != nil {
		return Address{}, fmt.Errorf("parse address %q: %w", s, err)
	}
	return a, nil
}

func parseAddress(s string) (Address, error) {
	if s == "" {
		return Address{}, errors.New(`empty: write HOST:PORT, ":PORT" or a path`)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return Address{}, errors.New("a control character is in it")
	}
	if strings.Contains(s, ";") {
		return Address{}, errors.New("a semicolon is in it, which separates addresses where a worker is told several")
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return parsePath(path)
	}
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") {
		return parsePath(s)
	}
	for _, network := range []string{"tcp", "tcp4", "tcp6"} {
		if rest, ok := strings.CutPrefix(s, network+":"); ok {
			return parseHostPort(network, rest)
		}
	}
	return parseHostPort("tcp", s)
}

func parsePath(path string) (Address, error) {
	switch {
	case path == "" || path == "@":
		return Address{}, errors.New("the path is empty")
	case len(path) > maxPath:
		return Address{}, fmt.Errorf("the path has %d bytes, the limit for a unix socket is %d", len(path), maxPath)
	}
	return Address{Network: "unix", Address: path}, nil
}

func parseHostPort(network, s string) (Address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Address{}, explain(s, err)
	}
	if port == "" {
		return Address{}, errors.New("missing port")
	}
	if !isPort(port) {
		return Address{}, fmt.Errorf("port %q is neither a number up to 65535 nor a known service", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if network == "tcp4" && !ip.Unmap().Is4() {
			return Address{}, fmt.Errorf("%s is not an IPv4 address", host)
		}
		if network == "tcp6" && !ip.Is6() {
			return Address{}, fmt.Errorf("%s is not an IPv6 address", host)
		}
	}
	return Address{Network: network, Address: net.JoinHostPort(host, port)}, nil
}

// isPort is strict where a C library that net asks may not be: no signs, no
// spaces.
func isPort(s string) bool {
	if strings.ContainsFunc(s, func(r rune) bool { return r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		return false
	}
	_, err := net.LookupPort("tcp", s)
	return err == nil && !strings.HasPrefix(s, "-")
}

// explain turns net's error for s into one that says what to write.
func explain(s string, err error) error {
	if _, perr := netip.ParseAddr(s); perr == nil || !strings.Contains(s, ":") {
		if isPort(s) {
			return fmt.Errorf("missing port; for port %s alone write %q", s, ":"+s)
		}
		return errors.New("missing port")
	}
	if a, ok := errors.AsType[*net.AddrError](err); ok {
		if strings.HasPrefix(a.Err, "too many colons") {
			return errors.New("too many colons; an IPv6 address goes in brackets: [::1]:80")
		}
		return errors.New(a.Err)
	}
	return err
}

// String returns the address in a form that ParseAddress reads, the short one
// without the network wherever that means the same.
func (a Address) String() string {
	if a == (Address{}) {
		return ""
	}
	if b, err := parseAddress(a.Address); err == nil && a == b {
		return a.Address
	}
	return a.Network + ":" + a.Address
}
