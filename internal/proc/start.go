package proc

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// Start starts a program and returns when the shim runs in the new process:
// its pid is final, and a signal sent to it from now on has its default effect,
// unless the caller ignores that signal. That the program itself cannot be executed is therefore not an
// error of Start: the process writes one line to its stderr and exits with 127
// (not found) or 126. An error means that no process is left; it wraps
// os.ErrClosed after Close. The Process needs no release.
func (c *Children) Start(s Spec) (*Process, error) {
	p, err := c.start(s)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Path, err)
	}
	return p, nil
}

func (c *Children) start(s Spec) (*Process, error) {
	if s.Path == "" || len(s.Args) == 0 {
		return nil, errors.New("no path or no arguments")
	}
	who, err := lookup(s.User)
	if err != nil {
		return nil, err
	}
	if s.Dir != "" {
		// The fork would report the errno of the chdir as if it came from
		// the program.
		if _, err := os.Stat(s.Dir); err != nil {
			return nil, err
		}
	}
	shim, err := shimPath()
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	files, err := s.descriptors(null)
	if err != nil {
		return nil, err
	}
	if s.Before == nil {
		return c.launch(s, shim, who, files)
	}
	// What the shim reads from is the word to go on, or the end of this
	// process: the kernel closes the other end whatever kills it.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	defer r.Close()
	// The other way round: its end is the exec, or the end of the process.
	execed, shimEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer shimEnd.Close()
	p, err := c.launch(s, shim, who, append(files, r.Fd(), shimEnd.Fd())) // Fd makes it blocking, which the shim expects
	if err != nil {
		execed.Close()
		return nil, err
	}
	go p.awaitExec(execed)
	s.Before(p)
	_, _ = w.Write([]byte{0}) // it fails if the process has ended, and then Exited tells
	return p, nil
}

// awaitExec sends the signals again that came before the program was executed.
// One that would end the shim is lost if it comes while the shim's exec ends
// its other threads: the thread that takes it ends with them, and nothing else
// does (do_group_exit in kernel/exit.c). Blocking it would need a hand on all
// threads of a Go program. A program that it did reach gets it twice.
func (p *Process) awaitExec(execed *os.File) {
	defer execed.Close()
	_, _ = execed.Read(make([]byte, 1)) // the end of the file
	p.earlyMu.Lock()
	again := p.early
	p.early = nil
	p.execed = true
	p.earlyMu.Unlock()
	for _, sig := range again {
		_ = p.Signal(sig) // it may have ended, as it was told
	}
}

// sent remembers a signal that the exec may lose.
func (p *Process) sent(sig syscall.Signal) {
	if sig == 0 || sig == syscall.SIGKILL || sig == syscall.SIGSTOP || sig == syscall.SIGCONT {
		return
	}
	p.earlyMu.Lock()
	defer p.earlyMu.Unlock()
	if !p.execed && !slices.Contains(p.early, sig) {
		p.early = append(p.early, sig)
	}
}

// launch forks the shim and enters it into the table.
func (c *Children) launch(s Spec, shim, who string, files []uintptr) (*Process, error) {
	attr := &syscall.ProcAttr{
		Dir:   s.Dir,
		Env:   s.environment(who),
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: !s.Terminal},
	}
	p := &Process{
		execed:   s.Before == nil, // nobody tells
		group:    !s.Terminal,
		children: c,
		exited:   make(chan struct{}),
		gone:     make(chan struct{}),
	}

	// The lock is held over the fork so that the watcher never meets a dead
	// child that is not in the table yet.
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, os.ErrClosed
	}
	// Not os.StartProcess: it would own the wait, and wants every file as an
	// os.File.
	if err := p.fork(shim, s.Args, attr); err != nil {
		return nil, err
	}
	runtime.KeepAlive(s)
	c.enter(p)
	c.running.Add(1)
	go c.await(p)
	return p, nil
}

// descriptors returns the descriptor table of the program.
func (s Spec) descriptors(null *os.File) ([]uintptr, error) {
	fds := make([]uintptr, 0, 3+len(s.Files))
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f == nil {
			f = null
		}
		// Here Fd is right: what it may clear is the O_NONBLOCK that os.Pipe
		// has set, and a program does not expect EAGAIN from its stdout.
		fd := f.Fd()
		if fd == ^uintptr(0) {
			return nil, fmt.Errorf("pass %s: %w", f.Name(), os.ErrClosed)
		}
		fds = append(fds, fd)
	}
	for _, fd := range s.Files {
		switch {
		case fd == NoFile:
			fd = -1 // which ForkExec closes
		case fd < 0:
			return nil, fmt.Errorf("pass descriptor %d: %w", fd, syscall.EBADF)
		}
		fds = append(fds, uintptr(fd))
	}
	if s.Pinned != nil {
		fds = append(fds, s.Pinned.Fd())
	}
	return fds, nil
}

// environment returns the environment of the shim: the program's own, each
// name once, and the order. The runtime of the shim keeps the first of two
// equal names, everybody else expects the last.
func (s Spec) environment(who string) []string {
	env := make([]string, 0, len(s.Env)+1)
	seen := map[string]bool{orderVariable: true}
	for _, entry := range slices.Backward(s.Env) {
		name, _, _ := strings.Cut(entry, "=")
		if !seen[name] {
			seen[name] = true
			env = append(env, entry)
		}
	}
	slices.Reverse(env)
	return append(env, order{files: len(s.Files), pinned: s.Pinned != nil, held: s.Before != nil, user: who, path: s.Path}.encode())
}
