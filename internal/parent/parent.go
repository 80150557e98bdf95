// Package parent speaks to what has started the supervisor, by the protocols
// that such programs have: systemd's sd_notify(3), sd_listen_fds(3) and
// descriptor store, and the line on a descriptor that s6 waits for. A parent that
// speaks none of them, as supervisord or a container's, hears nothing and gives
// nothing.
//
// It says what it is told to say. When that is true the supervisor knows.
//
// github.com/coreos/go-systemd was looked at for it and left out: its SdNotify carries
// no descriptor, which the store needs, and waits without end for a parent that
// does not read; its activation registers what is nonblocking with Go's poller,
// which would wake this process for each client of a socket that only the
// workers accept from. What is left is reading six variables.
package parent

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Parent is what has started this process. A nil one, and one that said
// nothing in the environment, is told everything and does nothing. Its methods
// do not wait, but for Flush and Close. They may be called from any goroutine, but
// for Close, which is the last.
type Parent struct {
	// Failed is called, from any goroutine, with the errors of telling, of
	// equal ones on end with the first; nil: nobody is. It is to be set before
	// anything is told.
	Failed func(error)

	address  string        // of the notify socket; "": there is none
	interval time.Duration // of the watchdog
	room     int           // in the store
	sockets  []Socket
	given    []string // environment to be handed on
	line     atomic.Int64

	mail chan message
}

// A message is one datagram, or a mark that those before it are gone.
type message struct {
	text string
	fd   int // sent along, and closed then; -1: none
	mark chan<- struct{}
}

// maxMail is how many messages wait for a parent that does not read, as systemd
// does not while it reloads its own units. What comes on top is dropped.
const maxMail = 64

// Open reads from the environment what the parent has to say, and takes it out
// of there: no child is to take it for its own. It may be called once in an
// executable. The error is one line about a variable that makes no sense.
func Open() (*Parent, error) {
	p := &Parent{address: os.Getenv(envNotify)}
	p.line.Store(-1)
	for _, name := range []string{envNotify, envWatchdog, envWatchdogPID, envStore} {
		if value, ok := os.LookupEnv(name); ok {
			p.given = append(p.given, name+"="+value)
		}
	}
	err := p.read()
	for _, name := range []string{envNotify, envWatchdog, envWatchdogPID, envStore, envListenPID, envListenFDs, envListenNames, envListenPidfd} {
		_ = os.Unsetenv(name) // it does not fail for such names
	}
	if err != nil {
		return nil, err
	}
	if p.address != "" {
		p.mail = make(chan message, maxMail)
		go p.deliver()
	}
	return p, nil
}

// Environment returns what Open has found, for an executable that takes the
// place of this one as the same process. Of sockets it says nothing: those are
// handed over otherwise.
func (p *Parent) Environment() []string {
	if p == nil {
		return nil
	}
	return p.given
}

// Hears tells whether somebody is told.
func (p *Parent) Hears() bool { return p != nil && p.address != "" || p.Line() >= 0 }

// Watchdog returns how long the parent waits for a sign of life before it takes
// the supervisor for hung; 0: it does not.
func (p *Parent) Watchdog() time.Duration {
	if p == nil || p.address == "" {
		return 0
	}
	return p.interval
}

// SetLine has the first Ready write a line to a descriptor, as s6 expects it of
// its notification-fd, and close it; it is the Parent's from here on. The
// error says that the descriptor is none.
func (p *Parent) SetLine(fd int) error {
	if slices.ContainsFunc(p.sockets, func(s Socket) bool { return s.FD == fd }) || !passed(fd) {
		return fmt.Errorf("the parent does not pass descriptor %d for it; does its notification-fd say the same number?", fd)
	}
	unix.CloseOnExec(fd)
	p.line.Store(int64(fd))
	return nil
}

// Line returns that descriptor while nothing was written to it, -1 otherwise.
func (p *Parent) Line() int {
	if p == nil {
		return -1
	}
	return int(p.line.Load())
}

// Ready says that all is up, or that a reload has ended. A status is one line
// for people.
func (p *Parent) Ready(status string) {
	p.tell("READY=1\nSTATUS=" + status)
	if p == nil {
		return
	}
	if fd := int(p.line.Swap(-1)); fd >= 0 {
		_, err := unix.Write(fd, []byte("\n")) // a pipe that is empty does not block
		if err != nil {
			p.failed(fmt.Errorf("tell parent on descriptor %d: %w", fd, err))
		}
		unix.Close(fd)
	}
}

// Reloading says that a reload has begun, which the next Ready ends.
func (p *Parent) Reloading(status string) {
	var now unix.Timespec
	// systemd wants to see that it began after its signal, by this clock. It
	// cannot fail: the clock is always there.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	p.tell("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10) + "\nSTATUS=" + status)
}

// Stopping says that it is the end.
func (p *Parent) Stopping(status string) { p.tell("STOPPING=1\nSTATUS=" + status) }

// Status says in one line for people how things are.
func (p *Parent) Status(status string) { p.tell("STATUS=" + status) }

// Extend asks for so much time from now on, until which there will be another
// word.
func (p *Parent) Extend(d time.Duration) {
	p.tell("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// Alive is the sign of life for the watchdog.
func (p *Parent) Alive() { p.tell("WATCHDOG=1") }

func (p *Parent) tell(text string) { p.send(message{text: text, fd: -1}) }

func (p *Parent) send(m message) {
	if p == nil || p.mail == nil {
		closeFD(m.fd)
		return
	}
	select {
	case p.mail <- m:
	default:
		closeFD(m.fd)
		p.failed(fmt.Errorf("tell parent: it does not read; dropped %q", m.text))
	}
}

// Flush waits until what was told so far is with the parent, but not longer than
// a second.
func (p *Parent) Flush() {
	if p == nil || p.mail == nil {
		return
	}
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	gone := make(chan struct{})
	select {
	case p.mail <- message{fd: -1, mark: gone}:
	case <-limit.C:
		return
	}
	select {
	case <-gone:
	case <-limit.C:
	}
}

// Close is Flush, and ends the telling.
func (p *Parent) Close() {
	if p == nil || p.mail == nil {
		return
	}
	p.Flush()
	close(p.mail)
	if fd := int(p.line.Swap(-1)); fd >= 0 {
		unix.Close(fd)
	}
}

// deliver sends what is told, one after the other. What keeps it from that is
// said when it begins: a socket that is gone would be named for each event.
func (p *Parent) deliver() {
	failing := ""
	for m := range p.mail {
		if m.mark != nil {
			close(m.mark)
			continue
		}
		err := p.datagram(m)
		closeFD(m.fd)
		switch {
		case err == nil:
			failing = ""
		case err.Error() != failing:
			failing = err.Error()
			p.failed(fmt.Errorf("tell parent at %s, its NOTIFY_SOCKET: %w", p.address, err))
		}
	}
}

// patience is how long a parent that does not read is waited for. Its queue is
// short outside of the first network namespace, and it reads nothing while it
// reloads.
const patience = 5 * time.Second

// datagram sends a message from a socket of its own, to an address and not over
// a connection: a parent that was executed anew has another socket at the same
// path. Package net sends no descriptor without a connection or a name.
func (p *Parent) datagram(m message) error {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err != nil {
		return os.NewSyscallError("setsockopt SO_SNDTIMEO", err)
	}
	var rights []byte
	if m.fd >= 0 {
		rights = unix.UnixRights(m.fd)
	}
	for {
		err := unix.Sendmsg(fd, []byte(m.text), rights, &unix.SockaddrUnix{Name: p.address}, 0)
		if err != unix.EINTR {
			return os.NewSyscallError("sendmsg", err)
		}
	}
}

func (p *Parent) failed(err error) {
	if p.Failed != nil {
		p.Failed(err)
	}
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}
