package parent

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The variables in which systemd speaks, and others that have learned it of it.
const (
	envNotify      = "NOTIFY_SOCKET"
	envWatchdog    = "WATCHDOG_USEC"
	envWatchdogPID = "WATCHDOG_PID"
	envStore       = "FDSTORE"
	envListenPID   = "LISTEN_PID"
	envListenFDs   = "LISTEN_FDS"
	envListenNames = "LISTEN_FDNAMES"
	envListenPidfd = "LISTEN_PIDFDID"
)

// storePrefix stands before the names of what is in the store, so that it can be
// told from what a socket unit gives: neither the name of a listener nor that of a
// unit, as which a socket goes that has no name of its own, has a slash.
const storePrefix = "lastcall/"

// firstFD is the first descriptor that a parent passes.
const firstFD = 3

// A Socket is one that the parent has passed, if it is one: nobody has looked.
type Socket struct {
	FD     int
	Name   string // as the parent calls it; of one that is Stored, as Store did
	Stored bool   // this program has had it stored, in a life before
}

// Sockets returns what the parent has passed, each close-on-exec and the
// caller's from here on.
func (p *Parent) Sockets() []Socket {
	if p == nil {
		return nil
	}
	return p.sockets
}

// Room returns how many sockets the parent keeps. It has said so in FDSTORE,
// which systemd does from version 254 on; one that has not may drop what it is
// given, without a word, and so is given nothing.
func (p *Parent) Room() int {
	if p == nil || p.address == "" {
		return 0
	}
	return p.room
}

// Store has the parent keep a copy of a socket and pass it when this program is
// started again. The descriptor stays the caller's.
func (p *Parent) Store(name string, fd int) {
	if p.Room() == 0 {
		return
	}
	// Its own, because the caller may close it before it has been sent.
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstFD)
	if err != nil {
		p.failed(fmt.Errorf("store socket %s with parent: %w", name, err))
		return
	}
	// FDPOLL=0: or systemd would drop it at a hangup, for which it would poll a
	// socket that only workers are to look at.
	p.send(message{text: "FDSTORE=1\nFDPOLL=0\nFDNAME=" + storePrefix + name, fd: own})
}

// Unstore has the parent close the copy that Store gave it.
func (p *Parent) Unstore(name string) { p.tell("FDSTOREREMOVE=1\nFDNAME=" + storePrefix + name) }

// read takes in what the environment says.
func (p *Parent) read() (err error) {
	if usec, ok := os.LookupEnv(envWatchdog); ok && ours(envWatchdogPID) {
		n, err := strconv.ParseInt(usec, 10, 64)
		if err != nil || n <= 0 {
			return fmt.Errorf("read %s: %q is not a number of microseconds; unset it, or correct what starts lastcall", envWatchdog, usec)
		}
		p.interval = time.Duration(n) * time.Microsecond
	}
	if room, ok := os.LookupEnv(envStore); ok && p.address != "" {
		if p.room, err = strconv.Atoi(room); err != nil || p.room < 0 {
			return fmt.Errorf("read %s: %q is not a number of descriptors; unset it, or correct what starts lastcall", envStore, room)
		}
	}
	return p.readSockets()
}

// ours tells whether a variable that names a process names this one. An absent
// one is taken for that, as systemd does with the watchdog's.
func ours(variable string) bool {
	pid, ok := os.LookupEnv(variable)
	return !ok || pid == strconv.Itoa(os.Getpid())
}

// passed tells whether a descriptor has come through an exec. Those that Go has
// opened by itself have not: to write to one of them, or close it, would end
// this process in a way nobody understands.
func passed(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

func (p *Parent) readSockets() error {
	count, ok := os.LookupEnv(envListenFDs)
	if _, said := os.LookupEnv(envListenPID); !ok || !said || !ours(envListenPID) {
		return nil // they are somebody else's: an ancestor's that this one was started by
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return fmt.Errorf("read %s: %q is not a number of descriptors; correct what starts lastcall", envListenFDs, count)
	}
	names := strings.Split(os.Getenv(envListenNames), ":")
	for i := range n {
		fd := firstFD + i
		if !passed(fd) {
			return fmt.Errorf("read %s: it says %d, and descriptor %d is not passed; correct what starts lastcall", envListenFDs, n, fd)
		}
		unix.CloseOnExec(fd)
		s := Socket{FD: fd}
		if i < len(names) {
			s.Name, s.Stored = strings.CutPrefix(names[i], storePrefix)
		}
		p.sockets = append(p.sockets, s)
	}
	return nil
}
