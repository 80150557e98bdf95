package supervisor

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"unicode"

	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/sock/steer"
)

// bindOne opens a listening socket, or one for each slot of those programs that
// have it, and makes it the one of its name.
func (s *Supervisor) bindOne(c Listener, programs []Program) error {
	// Nothing may hold up the loop, where a reload binds.
	l, err := sock.Listen(c.Address, sock.Options{Mode: c.Mode, MPTCP: c.MPTCP, NoWait: s.core != nil})
	if err != nil {
		return &bindError{c, err}
	}
	ln := &listener{Group: steer.New(l), config: c}
	if err := s.reserve(ln, programs); err != nil {
		_ = ln.Close() // nobody has it yet
		return err
	}
	s.add(ln)
	return nil
}

// add makes a listener the one of its name.
func (s *Supervisor) add(ln *listener) {
	ln.name = ln.config.Name
	for n := 2; s.listeners[ln.name] != nil; n++ { // no name of the configuration has a dot
		ln.name = fmt.Sprintf("%s.%d", ln.config.Name, n)
	}
	s.listeners[ln.name], s.names[ln.config.Name] = ln, ln.name
	for _, number := range ln.Numbers() {
		s.log.Info("listening", "name", ln.config.Name, "address", ln.Socket(number).Address().String())
	}
}

// A bindError says which listener could not be bound, where it was asked for,
// and what to do about it.
type bindError struct {
	listener Listener
	err      error
}

func (e *bindError) Unwrap() error { return e.err }

// Error is one line: WHERE: listen for NAME: PROBLEM; REMEDY.
func (e *bindError) Error() string {
	text := fmt.Sprintf("listen for %s: %v; %s", e.listener.Name, e.err, e.remedy())
	if e.listener.Where != "" {
		text = e.listener.Where + ": " + text
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) { // of a file's name, or between two errors
			return ' '
		}
		return r
	}, text)
}

func (e *bindError) remedy() string {
	unix := e.listener.Address.Network == "unix"
	_, unknown := errors.AsType[*net.DNSError](e.err)
	switch {
	case errors.Is(e.err, errLeaving):
		return "try again when its workers have gone"
	case errors.Is(e.err, errNamed):
		return "keep that name, or take it out by a reload of its own first"
	case errors.Is(e.err, syscall.EADDRINUSE):
		return "stop it, or choose another address"
	case unknown:
		return "correct the name, or write an IP address"
	case errors.Is(e.err, syscall.EADDRNOTAVAIL):
		return "choose an address that this machine has"
	case unix && errors.Is(e.err, syscall.ENOENT):
		return "make the directory, or choose another path"
	case unix && errors.Is(e.err, syscall.EACCES):
		return "let this user write to the directory, or choose another path"
	case errors.Is(e.err, syscall.EACCES):
		return "choose a port from 1024 on, or give lastcall the right: setcap cap_net_bind_service=ep"
	}
	return "choose another address"
}
