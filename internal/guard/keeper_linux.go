package guard

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"github.com/lastcall/lastcall/internal/proc"
	"golang.org/x/sys/unix"
)

// variable is the environment variable that makes a process of the supervisor's
// executable the guard: "text" or "json", the format of its log. removeVariable
// is what it removes at its end. linkFD is its end of the link.
const (
	variable       = "LASTCALL_GUARD"
	removeVariable = "LASTCALL_GUARD_REMOVE"
	linkFD         = 3
)

// A process that is started to be the guard becomes it here, before main: by
// then the packages that the guard needs not are not initialised, whose tables
// would be its memory, and no program that imports this one can forget to call
// it. The exec shim, through which it was started, comes first: what the
// supervisor has inherited from a careless parent is closed by its exec, not
// here, where descriptors of the runtime are open.
func init() {
	format, found := syscall.Getenv(variable)
	if !found || proc.Pending() {
		return
	}
	if err := run(format); err != nil {
		fmt.Fprintln(os.Stderr, "lastcall: guard:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run is the guard's life.
func run(format string) error {
	// It is one goroutine that sleeps. What it costs is what the runtime keeps
	// ready for more.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(10)
	// What ends the supervisor, or its whole group, must not end its guard; and
	// a terminal that is not its own must not stop it when it writes.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE,
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	// For people who list processes, to whom it would be "exe".
	name := []byte("lastcall-guard\x00")
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)
	proc.Trim() // of what the start of a program of this size has touched
	t := table{}
	if err := t.read(linkFD); err != nil {
		return err
	}
	newStop(t, format).run()
	return remove(os.Getenv(removeVariable))
}

// remove removes a directory of the supervisor's; "" is none.
func remove(dir string) error {
	if dir == "" {
		return nil
	}
	return wrap("remove directory", os.RemoveAll(dir))
}

// table is the lives that the supervisor has told of, by id.
type table map[int]*life

// read takes the supervisor's messages until it is gone. It blocks this thread:
// a process with nothing else to do needs no poller.
func (t table) read(fd int) error {
	for {
		m, fds, err := receive(fd)
		switch {
		case err != nil:
			return err
		case m == nil:
			return nil
		}
		t.take(m, fds)
	}
}

// take enters one message into the table. What is about a life that is not
// there is passed over: its introduction did not come through.
func (t table) take(m *message, fds []int) {
	l := t[m.ID]
	switch {
	case m.Rule != nil && len(fds) > 0:
		l = &life{Rule: *m.Rule, id: m.ID, pid: m.PID, pidfd: fds[0], channel: -1, commandfd: -1}
		if len(fds) > 1 {
			l.channel = fds[1]
		}
		t[m.ID] = l
	case l == nil:
	case m.Rule != nil:
		l.Rule = *m.Rule
	case m.Drains:
		l.drains = true
	case m.Busy != nil:
		l.busy = *m.Busy
	case m.Turn != nil:
		l.takeTurn(*m.Turn)
	case m.Gone:
		l.close()
		delete(t, m.ID)
	}
}

// receive waits for the next message and the descriptors that come with it; nil
// is the end. The length is asked for first, so that a guard at rest holds no
// buffer for the largest.
func receive(fd int) (*message, []int, error) {
	n, err := again(func() (int, error) {
		n, _, err := unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_TRUNC)
		return n, err
	})
	if n == 0 || err != nil {
		return nil, nil, wrap("wait for supervisor", err)
	}
	b, oob := make([]byte, n), make([]byte, unix.CmsgSpace(2*4))
	var rights int
	if _, err = again(func() (int, error) {
		var err error
		n, rights, _, _, err = unix.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC)
		return n, err
	}); err != nil {
		return nil, nil, wrap("read message", err)
	}
	fds, err := descriptors(oob[:rights])
	if err != nil {
		return nil, nil, wrap("read descriptors", err)
	}
	m := new(message)
	if err := json.Unmarshal(b[:n], m); err != nil {
		return nil, nil, wrap("read message", err)
	}
	return m, fds, nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// again repeats a call that a signal has interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func descriptors(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	return unix.ParseUnixRights(&messages[0])
}
