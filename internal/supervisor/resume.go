package supervisor

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
)

// Inherited returns the state that a predecessor in this process has left, nil
// for none. It may be called once.
func Inherited() io.ReadCloser {
	fd, err := strconv.Atoi(os.Getenv(StateVariable))
	if err != nil || fd < 3 {
		return nil
	}
	_ = os.Unsetenv(StateVariable) // no child may take it for its own
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "state")
}

// Resume returns a supervisor whose Run goes on from the state in r, where the
// one that wrote it has stopped: with its configuration, and all the rest. The
// descriptors in it must be this process's.
func Resume(r io.Reader, o Options) (*Supervisor, error) {
	h, core, err := readHandover(r)
	if err != nil {
		return nil, err
	}
	if h.Told.Line > 0 && o.Parent != nil {
		if err := o.Parent.SetLine(h.Told.Line); err != nil {
			return nil, fmt.Errorf("resume: %w", err)
		}
	}
	// Before anything is started, so that none reaches a child.
	for _, fd := range h.descriptors() {
		if err := closeOnExec(fd, true); err != nil {
			return nil, fmt.Errorf("resume: descriptor %d: %w", fd, err)
		}
	}
	s, err := New(h.Config, o)
	if err != nil {
		return nil, err
	}
	s.inherited, s.core, s.began = h, core, h.Began
	s.terminal, s.names, s.upgrades, s.pending = h.Terminal, h.Names, h.Upgrades, h.Signals
	s.tickets, s.notify.dir = h.Tickets, h.NotifyDir
	s.told.hangup, s.told.verdict = h.Told.Hangup, h.Told.Verdict
	if h.Fresh != nil {
		s.fresh = h.Fresh
	}
	return s, nil
}

// StateConfig returns the configuration in a state, for what is to be known of
// it before Resume.
func StateConfig(text io.Reader) (Config, error) {
	h, _, err := readHandover(text)
	if err != nil {
		return Config{}, err
	}
	return h.Config, nil
}

// save returns the supervisor as it is.
func (s *Supervisor) save() (*handover, error) {
	core, err := s.core.Save()
	if err != nil {
		return nil, err
	}
	h := &handover{
		Format: handoverFormat, Version: s.options.Version, Upgrades: s.upgrades + 1, Core: core, Config: s.config,
		Began: s.began, Terminal: s.terminal, Names: s.names, Fresh: s.fresh, Tickets: s.tickets, NotifyDir: s.notify.dir, Control: -1, Guard: s.retired, Signals: s.pending,
		Told: savedTold{Hangup: s.told.hangup, Verdict: s.told.verdict, Line: s.options.Parent.Line()},
	}
	if s.control != nil {
		h.Control = descriptor(s.control.Conn())
	}
	if s.system.spared != nil {
		h.Spared = s.system.spared()
	}
	for name, l := range s.listeners {
		saved := savedListener{Name: name, Config: l.config, Kept: l.kept, Closing: l.closing, Closed: l.closed}
		if !l.closed {
			saved.Sockets, saved.Slots = l.HandOver(), l.slots
		}
		h.Listeners = append(h.Listeners, saved)
	}
	for _, of := range s.versions {
		for generation, v := range of {
			saved := savedVersion{Generation: generation, Program: v.Program, Pinned: -1}
			if v.pinned != nil {
				saved.Pinned = raw(v.pinned)
			}
			h.Versions = append(h.Versions, saved)
		}
	}
	for _, l := range s.lives {
		h.Lives = append(h.Lives, s.saveLife(l))
	}
	return h, nil
}

func (s *Supervisor) saveLife(l *life) savedLife {
	saved := savedLife{
		ID: l.id, Env: l.env, Sockets: l.sockets, Channel: -1, Notify: -1,
		Hello: l.hello, Spoke: l.spokeUp, Status: l.status, Cut: l.cut, Moved: l.moved, Line: l.line.awaited(),
		Reloads: l.reloads, MainPID: l.mainPID, Work: l.work.save(),
	}
	for _, line := range l.tail.last() {
		saved.Tail = append(saved.Tail, []byte(line))
	}
	for generation, v := range s.versions[l.id.Program] {
		if l.program == &v.Program {
			saved.Generation = generation
		}
	}
	if l.handed != nil {
		saved.Process = *l.handed
	}
	if l.channel != nil {
		saved.Channel = descriptor(l.channel.SyscallConn())
	}
	if l.notify != nil {
		saved.Notify = descriptor(l.notify.SyscallConn())
	}
	if l.newline != nil {
		if fd := raw(l.newline); fd >= 0 {
			saved.Newline = &savedStream{Pipe: fd}
		}
	}
	for _, st := range l.streams {
		saved.Streams = append(saved.Streams, savedStream{raw(st.pipe), []byte(st.part)})
	}
	return saved
}

// descriptors are those that the state speaks of.
func (h *handover) descriptors() []int {
	all := []int{h.Control, h.Guard.Pidfd, h.Guard.Link}
	if h.Told.Line > 0 {
		all = append(all, h.Told.Line)
	}
	for _, l := range h.Listeners {
		for _, socket := range l.Sockets {
			all = append(all, socket.Socket.FD)
		}
	}
	for _, v := range h.Versions {
		all = append(all, v.Pinned)
	}
	for _, l := range h.Lives {
		all = append(all, l.Process.Pidfd, l.Channel, l.Notify)
		if l.Newline != nil {
			all = append(all, l.Newline.Pipe)
		}
		for _, st := range l.Streams {
			all = append(all, st.Pipe)
		}
	}
	var open []int
	for _, fd := range all {
		if fd >= 0 {
			open = append(open, fd)
		}
	}
	return open
}

// raw is the number of a file's descriptor, without what os.File.Fd does to it;
// -1 once it is closed.
func raw(f syscall.Conn) int { return descriptor(f.SyscallConn()) }

func descriptor(c syscall.RawConn, err error) int {
	n := -1
	if err == nil {
		_ = c.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

func closeOnExec(fd int, on bool) error {
	flags := 0
	if on {
		flags = unix.FD_CLOEXEC
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags)
	return err
}

// takeOver takes the listeners and the executables over.
func (s *Supervisor) takeOver() error {
	h := s.inherited
	for _, saved := range h.Listeners {
		l := &listener{config: saved.Config, name: saved.Name, kept: saved.Kept, closing: saved.Closing, closed: saved.Closed}
		if err := l.adoptSockets(saved); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		s.listeners[saved.Name] = l
	}
	for _, saved := range h.Versions {
		v := &version{Program: saved.Program}
		if saved.Pinned >= 0 {
			v.pinned = os.NewFile(uintptr(saved.Pinned), v.Path)
		}
		of := s.versions[v.Name]
		if of == nil {
			of = make(map[int]*version)
			s.versions[v.Name] = of
		}
		of[saved.Generation] = v
	}
	return nil
}

// openControl takes over the operators' socket, or makes it.
func (s *Supervisor) openControl() (*control.Server, error) {
	if s.inherited != nil && s.inherited.Control >= 0 {
		return control.Adopt(s.config.Socket, s.inherited.Control)
	}
	return control.Listen(s.config.Socket)
}

// resumeLives goes on with the processes, and with what was being asked about
// them.
func (s *Supervisor) resumeLives() error {
	s.system.spare(s.inherited.Spared)
	for _, saved := range s.inherited.Lives {
		if err := s.resumeLife(saved); err != nil {
			return fmt.Errorf("resume %s: %w", saved.ID, err)
		}
	}
	snap := s.core.Snapshot()
	for _, l := range snap.Listeners {
		switch shell := s.listeners[l.Name]; {
		case l.State == "quiesced" && !shell.closed:
			s.quiesce(shell)
		case shell.closing && !shell.closed:
			s.letGoLater(shell)
		}
	}
	for _, p := range snap.Programs {
		for _, slot := range p.Slots {
			for _, v := range slot.Lives {
				l := s.lives[v.ID]
				l.state = v.State
				s.resumeAsking(l, v)
				if !v.AtGate && (v.State == pool.LifeDraining || v.State == pool.LifeCutting) {
					s.tell(l)
				}
				l.turn(v)
			}
		}
	}
	guard.Retire(s.inherited.Guard) // the new one knows all lives by now
	return nil
}

func (s *Supervisor) resumeLife(saved savedLife) (err error) {
	v := s.versions[saved.ID.Program][saved.Generation]
	l := s.newLife(saved.ID, v)
	l.env, l.sockets, l.hello, l.spokeUp, l.status = saved.Env, saved.Sockets, saved.Hello, saved.Spoke, saved.Status
	l.cut, l.moved, l.reloads, l.mainPID = saved.Cut, saved.Moved, saved.Reloads, saved.MainPID
	l.work.restore(saved.Work)
	for _, line := range saved.Tail {
		l.tail.add(string(line))
	}
	if saved.Channel >= 0 {
		if l.channel, err = wire.OpenChannel(saved.Channel); err != nil {
			return err
		}
	}
	if saved.Notify >= 0 {
		if l.notify, err = openNotifySocket(saved.Notify, saved.Env.Notify); err != nil {
			return err
		}
	}
	if saved.Newline != nil {
		if l.newline, err = openPipe(saved.Newline.Pipe); err != nil {
			return err
		}
	}
	if saved.Line {
		if err := l.awaitLine(); err != nil {
			return err
		}
	}
	for i, st := range saved.Streams {
		to := s.options.Stdout
		if i > 0 {
			to = s.options.Stderr
		}
		pipe, err := openPipe(st.Pipe)
		if err != nil {
			return err
		}
		l.streams = append(l.streams, &stream{pipe: pipe, to: to, part: string(st.Part)})
	}
	if l.process, err = s.system.adopt(saved.Process); err != nil {
		return err
	}
	s.attach(l)
	s.guardAgain(l)
	return nil
}

// guardAgain tells a guard of a life that its predecessor knew of.
func (s *Supervisor) guardAgain(l *life) {
	p, ok := l.process.(*proc.Process)
	if !ok {
		return
	}
	l.guarded = s.guard.Add(l.rule(), p, l.channelConn())
	if l.hello {
		l.guarded.Drains()
	}
	l.guardBusy()
}

// resumeAsking takes up the questions that the core waits for an answer to.
func (s *Supervisor) resumeAsking(l *life, v pool.LifeView) {
	switch {
	case v.State == pool.LifeStarting:
		said := l.spokeUp
		s.watchReady(l, v.Since)
		if said {
			s.endGuess(l)
		}
	case v.AtGate:
		s.askGate(l)
	}
}

func openNotifySocket(fd int, name string) (*notifySocket, error) {
	f := os.NewFile(uintptr(fd), "notify")
	if f == nil {
		return nil, fmt.Errorf("descriptor %d is not valid", fd)
	}
	defer f.Close()
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("descriptor %d is a %T, not a unix socket", fd, c)
	}
	return newNotifySocket(u, name)
}

// openPipe takes over the reading end of a pipe; -1 gives one that is closed, as
// it was.
func openPipe(fd int) (*os.File, error) {
	if fd < 0 {
		f, err := os.Open(os.DevNull)
		if err == nil {
			err = f.Close()
		}
		return f, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "output"), nil
}
