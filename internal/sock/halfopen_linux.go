package sock

import (
	"encoding/binary"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// halfOpen reports whether a TCP handshake with the port of address is under
// way, on any of its addresses. Where the kernel may not be asked it reports
// false: then the queue alone has to say it.
func halfOpen(address string) bool { return len(handshakes(address)) > 0 }

// handshakes returns those that are under way with the port of address; none
// where the kernel may not be asked.
func handshakes(address string) map[handshake]bool {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil
	}
	all := make(map[handshake]bool)
	for _, family := range families(at.Addr()) {
		_ = addHandshakes(all, family, at.Port()) // what it has found counts
	}
	return all
}

// families returns those in which the handshakes with a listener can be. Each
// costs a walk through the kernel's table of connections, some milliseconds.
func families(at netip.Addr) []byte {
	switch {
	case at.Is4() || at.Is4In6():
		return []byte{unix.AF_INET}
	case at.IsUnspecified():
		return []byte{unix.AF_INET, unix.AF_INET6}
	}
	return []byte{unix.AF_INET6}
}

func addHandshakes(all map[handshake]bool, family byte, port uint16) error {
	return diagnose(family, port, synRecv, func(id handshake) { all[id] = true })
}

// States of a TCP socket, as sock_diag(7) numbers them.
const (
	synRecv = 3
	listens = 10
)

// diagnose asks the kernel (sock_diag(7)) for the sockets of a family that are in
// a state at a local port.
func diagnose(family byte, port uint16, state int, found func(id handshake)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, query(family, port, state), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	buf := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0) // a dump is answered from memory: this does not wait
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				if len(m.Data) >= 4 {
					return unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
				}
				return unix.EBADMSG
			case unix.SOCK_DIAG_BY_FAMILY:
				// A struct inet_diag_msg: four bytes, then who it is with.
				if id := (handshake{}); len(m.Data) >= 4+len(id) {
					copy(id[:], m.Data[4:])
					found(id)
				}
			}
		}
	}
}

// query is a struct nlmsghdr and a struct inet_diag_req_v2, with all but port and
// state left open.
func query(family byte, port uint16, state int) []byte {
	const header, request = 16, 56
	b := make([]byte, header+request)
	binary.NativeEndian.PutUint32(b[0:], header+request)
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b[header], b[header+1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[header+4:], 1<<state)
	binary.BigEndian.PutUint16(b[header+8:], port)
	return b
}
