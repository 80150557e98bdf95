package sock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Accepting looks whether process pid takes connections from l: it holds the
// socket, and has it in an epoll set or a thread that waits in accept. It is
// Unseen in a process of another user, and where a thread waits by other means
// (poll, select, io_uring). It is a look at a moment, costs two small reads for
// each descriptor and thread of the process, may be called from any goroutine,
// and works after l is closed. A process that is gone does not accept. Not for
// pid 0.
func Accepting(pid int, l *Listener) Sight {
	sight, err := accepting(pid, l.inode)
	switch {
	case err == nil:
		return sight
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH):
		// Ended before or while being looked at; or only one thread did, and
		// the next look will say more.
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/fd", pid)); errors.Is(err, fs.ErrNotExist) {
			return AcceptsNot
		}
	}
	return Unseen
}

func accepting(pid int, inode uint64) (Sight, error) {
	fds, err := descriptors(pid)
	if err != nil {
		return Unseen, err
	}
	held, uring := false, false
	for _, to := range fds {
		held = held || to == socketLink(inode)
		uring = uring || to == "anon_inode:[io_uring]"
	}
	if !held {
		return AcceptsNot, nil
	}
	for fd, to := range fds {
		if to != "anon_inode:[eventpoll]" {
			continue
		}
		if in, err := inEpoll(pid, fd, inode, fds); err != nil || in {
			return Accepts, err
		}
	}
	sight, err := waitsInAccept(pid, inode, fds)
	if uring && sight != Accepts {
		sight = Unseen
	}
	return sight, err
}

func socketLink(inode uint64) string { return fmt.Sprintf("socket:[%d]", inode) }

// descriptors returns what each descriptor of a process is.
func descriptors(pid int) (map[int]string, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := make(map[int]string, len(entries))
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		to, err := os.Readlink(dir + "/" + e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile
		}
		if err != nil {
			return nil, err
		}
		out[fd] = to
	}
	return out, nil
}

// inEpoll reports whether the epoll set epfd of a process watches the socket
// for connections. The set lists descriptors (proc_pid_fdinfo(5)); one that
// the process has closed since, while others hold the socket, can stay in the
// list and serves nobody.
func inEpoll(pid, epfd int, inode uint64, fds map[int]string) (bool, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, epfd))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // closed meanwhile
	}
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line) // tfd: 3 events: 80002019 data: ... ino:1f sdev:8
		if len(f) < 4 || f[0] != "tfd:" || f[2] != "events:" {
			continue
		}
		fd, err := strconv.Atoi(f[1])
		events, err2 := strconv.ParseUint(f[3], 16, 32)
		if err != nil || err2 != nil || events&unix.EPOLLIN == 0 || fds[fd] != socketLink(inode) {
			continue
		}
		if strings.Contains(line, fmt.Sprintf(" ino:%x ", inode)) {
			return true, nil
		}
	}
	return false, nil
}

// waitsInAccept looks at the system call each thread is in. The name of the
// kernel function it sleeps in (wchan) would say less: not on which descriptor,
// and differently from kernel to kernel.
func waitsInAccept(pid int, inode uint64, fds map[int]string) (Sight, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		return Unseen, err
	}
	sight := AcceptsNot
	for _, t := range threads {
		b, err := os.ReadFile(dir + "/" + t.Name() + "/syscall")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // ended meanwhile
		}
		if err != nil {
			return Unseen, err
		}
		call, first, ok := parseSyscall(string(b))
		switch {
		case !ok:
			sight = max(sight, Busy)
		case isPoll(call):
			sight = Unseen
		case (call == unix.SYS_ACCEPT || call == unix.SYS_ACCEPT4) && fds[first] == socketLink(inode):
			return Accepts, nil
		}
	}
	return sight, nil
}

// parseSyscall reads the number and first argument of the call a thread is in.
// ok is false for a thread that runs.
func parseSyscall(s string) (call, first int, ok bool) {
	f := strings.Fields(s)
	if len(f) == 0 {
		return 0, 0, false
	}
	call, err := strconv.Atoi(f[0])
	if err != nil { // "running"
		return 0, 0, false
	}
	if call < 0 || len(f) < 2 { // waits outside of any call
		return call, 0, true
	}
	arg, err := strconv.ParseUint(f[1], 0, 64)
	return call, int(int32(arg)), err == nil
}

func isPoll(call int) bool {
	if runtime.GOARCH == "amd64" && (call == 7 || call == 23) { // poll and select, which newer machines do not have
		return true
	}
	return call == unix.SYS_PPOLL || call == unix.SYS_PSELECT6
}
