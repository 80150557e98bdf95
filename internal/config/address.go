package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/lastcall/lastcall/internal/sock"
)

// overlap says whether two addresses cannot both be listened on, as far as that
// is known without asking a name server.
func overlap(a, b sock.Address) bool {
	if a.Network == "unix" || b.Network == "unix" {
		return a.Network == b.Network && samePath(a.Address, b.Address)
	}
	hostA, portA, errA := net.SplitHostPort(a.Address)
	hostB, portB, errB := net.SplitHostPort(b.Address)
	if errA != nil || errB != nil || portNumber(portA) != portNumber(portB) || portNumber(portA) == "0" {
		return false // port 0 is a free one, each time another
	}
	familyA, familyB := family(a.Network, hostA), family(b.Network, hostB)
	switch {
	case everywhere(hostA) && familyA == "", everywhere(hostB) && familyB == "":
		return true
	case familyA != familyB:
		return false
	case everywhere(hostA) || everywhere(hostB):
		return true
	}
	x, errX := netip.ParseAddr(hostA)
	y, errY := netip.ParseAddr(hostB)
	if errX == nil && errY == nil {
		return x.Unmap() == y.Unmap()
	}
	return strings.EqualFold(hostA, hostB)
}

// family is the one that a socket listens in, "4" or "6". "" is both, or not
// known for a name. Where the network leaves it open, net listens on any
// unspecified address, 0.0.0.0 too, in both.
func family(network, host string) string {
	if f, ok := strings.CutPrefix(network, "tcp"); ok && f != "" {
		return f
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil || ip.IsUnspecified():
		return ""
	case ip.Unmap().Is4():
		return "4"
	}
	return "6"
}

// samePath says whether two ways to write the path of a unix socket mean the
// same, seen from the supervisor's directory. The socket need not be there,
// its directory may be reached by symbolic links.
func samePath(a, b string) bool {
	return a == b || canonical(a) == canonical(b)
}

func canonical(path string) string {
	if strings.HasPrefix(path, "@") { // an abstract name is what it is
		return path
	}
	path = inPlace("", path)
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return filepath.Clean(path)
}

// reaches says whether a probe's target comes out at a listener.
func reaches(target, network, address string) bool {
	if path, ok := strings.CutPrefix(target, "unix:"); ok {
		path, _, _ = strings.Cut(path, ":")
		return network == "unix" && samePath(path, address)
	}
	if u, err := url.Parse(target); err == nil && u.Host != "" {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		target = net.JoinHostPort(u.Hostname(), port)
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil || network == "unix" {
		return false
	}
	listens, at, err := net.SplitHostPort(address)
	if err != nil || portNumber(port) != portNumber(at) {
		return false
	}
	return everywhere(listens) || everywhere(host) || sameHost(host, listens)
}

// portNumber returns a port in figures; a name only if that is all there is.
func portNumber(port string) string {
	if n, err := net.LookupPort("tcp", port); err == nil {
		return fmt.Sprint(n)
	}
	return port
}

func everywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// sameHost compares without asking a name server: localhost is every loopback
// address, other names are themselves.
func sameHost(a, b string) bool {
	loopback := func(s string) bool {
		ip, err := netip.ParseAddr(s)
		return strings.EqualFold(s, "localhost") || err == nil && ip.Unmap().IsLoopback()
	}
	if strings.EqualFold(a, "localhost") || strings.EqualFold(b, "localhost") {
		return loopback(a) && loopback(b)
	}
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX == nil && errY == nil {
		return x.Unmap() == y.Unmap()
	}
	return strings.EqualFold(a, b)
}
