package sock

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// turnAway has the kernel begin no new handshake on a listening TCP socket;
// those under way go on, and who is in the queue stays there. With
// CAP_NET_ADMIN newcomers get no answer, else they are refused; on MPTCP, which
// takes no filter, always.
//
// No answer is better: who comes in the last moments tries again by himself, and
// may reach a successor; and the end of a handshake that has left no trace here
// (SYN cookies) still comes through.
func turnAway(fd int) error {
	err := dropNewcomers(fd)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		err = refuseNewcomers(fd)
	case errors.Is(err, os.ErrPermission):
		if second := refuseNewcomers(fd); second != nil {
			return fmt.Errorf("%w; %w; give it the capability CAP_NET_ADMIN: "+
				"setcap cap_net_admin=ep, or AmbientCapabilities=CAP_NET_ADMIN in a systemd unit", err, second)
		}
		err = nil
	}
	if err == nil {
		awaitSoftirqs()
	}
	return err
}

// dropNewcomers has every SYN that is not a SYN-ACK dropped before it reaches
// the socket. Connections accepted later inherit the filter and are not
// affected: no such segment is theirs. Newer kernels, 6.18 for one, want
// CAP_NET_ADMIN for it.
func dropNewcomers(fd int) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13}, // the flags of the TCP header
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: synFlag | ackFlag},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: synFlag, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},          // drop
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xFFFFFFFF}, // pass all of it
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER",
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program))
}

const (
	synFlag = 0x02
	ackFlag = 0x10
)

// refuseNewcomers binds the socket to a network device that does not exist, by
// whose packets nobody can come. It needs no privilege on a socket that is bound
// to no device. A handshake under way, and the connection it makes, have the
// device of their first packet; so nothing else changes. The port stays taken.
//
// Rejected: IP_MINTTL, which the connection of a handshake under way inherits,
// and would be deaf; and a second socket at the address with a full queue, to
// which a SO_REUSEPORT program sends newcomers: it needs a connection to itself,
// and has to outlive the first by no more than a moment.
func refuseNewcomers(fd int) error {
	if refuses(fd) { // to do it again, as after an upgrade, would need privilege
		return nil
	}
	return os.NewSyscallError("setsockopt SO_BINDTOIFINDEX",
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, nowhere))
}

func refuses(fd int) bool {
	at, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
	return err == nil && at == nowhere
}

// passNewcomers undoes turnAway and refuseNewcomers, if they were done. Where
// newcomers are refused it takes CAP_NET_RAW, and is os.ErrPermission without.
func passNewcomers(fd int) error {
	if refuses(fd) {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, 0); err != nil {
			return os.NewSyscallError("setsockopt SO_BINDTOIFINDEX", err)
		}
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	if err == unix.ENOENT {
		return nil
	}
	return os.NewSyscallError("setsockopt SO_DETACH_FILTER", err)
}

// nowhere is the number of a device that does not exist: the kernel counts up
// from 1.
const nowhere = math.MaxInt32

// awaitSoftirqs returns when every segment that another CPU was already
// receiving has been dealt with, so that a SYN which passed before newcomers
// were turned away is a handshake that halfOpen sees. That is an RCU grace
// period, and membarrier(2) is how to ask for one. Where it may not be called
// there remains a gap of microseconds.
func awaitSoftirqs() {
	const global = 1 // MEMBARRIER_CMD_GLOBAL
	_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0)
}
