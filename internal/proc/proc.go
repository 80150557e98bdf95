// Package proc starts processes, signals them and waits for them, one at a
// time and by process group. It knows pids, descriptors and exit statuses, and
// nothing of what the processes are for.
//
// A process is started through a shim: the executable of the caller itself,
// which finishes what only the new process can do (its pid in LISTEN_PID, its
// user, its signal dispositions) and then executes the program. Every program
// that calls Start, and every test binary, must therefore call Shim first
// thing in main.
//
// On Linux no signal reaches a recycled pid (SignalGroup names what is left of
// this before 6.9), no thread blocks for a child, and the orphans of started
// processes are reaped here. Elsewhere the same calls work with plain waits,
// and these three promises do not hold.
package proc

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Spec is a program to start. Path and Args are required; the zero value of
// every other field means what its comment says. Start does not keep it.
type Spec struct {
	Path string // the executable; not searched for; relative to Dir

	// Pinned is the executable as Pin has opened it, nil for whatever is at
	// Path by then.
	Pinned *os.File

	Args []string // the argument vector, Args[0] included
	Env  []string // the whole environment; of equal names the last counts
	Dir  string   // the working directory; "": the caller's

	// Files become the descriptors 3, 4, ... of the program; no other
	// descriptor above 2 reaches it. NoFile leaves its number free. They are
	// raw numbers since asking an
	// os.File for its own clears O_NONBLOCK, which belongs to the description
	// that is shared with every other holder. They are not closed, and must
	// stay open until Start has returned.
	Files []int

	// Stdin, Stdout and Stderr: nil means /dev/null. A pipe made by os.Pipe
	// is switched to blocking mode, as programs expect of these three. They
	// are not closed.
	Stdin, Stdout, Stderr *os.File

	// User is who the program runs as: "" for the caller, else "name", "uid"
	// or "uid:gid". The first two need an entry in the user database and take
	// the primary and the supplementary groups from there; with "uid:gid" the
	// program has that one group. HOME and its like are not touched.
	User string

	// Terminal leaves the process in the caller's process group, so that it
	// can read the terminal and gets its Ctrl-C. Otherwise it leads a group
	// of its own from before its first instruction.
	Terminal bool

	// Before, if not nil, is called by Start when the process is there and
	// has not executed the program yet; it does so when Before has returned.
	// If the caller's process ends first, the program is never executed. So
	// whoever must know of every process that runs can be told here. Of a
	// process that has a Before no signal is lost in the exec of its program.
	Before func(*Process)
}

// NoFile is in Spec.Files what a program is not given. It is not -1, the number
// of what somebody has closed.
const NoFile = -2

// A Process is one started process, made by Start, and the group it leads. All
// methods may be called from any goroutine, at any time.
type Process struct {
	pid      int
	group    bool // it leads a group of its own
	children *Children
	handle   handle

	earlyMu sync.Mutex
	early   []syscall.Signal // sent before the exec
	execed  bool

	reaped bool // by us, its pid is free; guarded by children.mu
	exit   Exit // written before exited is closed
	exited chan struct{}
	gone   chan struct{}
}

// Children is the processes that this process has started, made by NewChildren.
// One is enough for a process; several do not disturb each other. All methods
// may be called from any goroutine.
type Children struct {
	mu      sync.Mutex
	started map[int]*Process // by pid, from Start until gone
	closed  bool
	before  map[int]bool // children of this process that were there before it started any

	quit    chan struct{} // closed by Close
	kick    chan struct{} // holds one token: look for dead children
	running sync.WaitGroup
}

// Pid returns the process id. It belongs to this process, and to no other, at
// least until Exited is closed; afterwards it is a number for people only.
func (p *Process) Pid() int { return p.pid }

// Exited returns a channel that is closed when the process itself has ended
// and has been reaped. Other members of its group may live on. It is never
// closed if Children.Close comes first.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Gone returns a channel that is closed after Exited, when no process is left
// in the group. A process that has moved itself to another group or session is
// not waited for; a dead one that a living parent outside the group does not
// reap is. With Spec.Terminal it is closed together with Exited. It is never
// closed if Children.Close comes first.
func (p *Process) Gone() <-chan struct{} { return p.gone }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Exit returns how the process ended: the zero Exit until Exited is closed.
func (p *Process) Exit() Exit {
	select {
	case <-p.exited:
		return p.exit
	default:
		return Exit{}
	}
}

// end records that the leader was reaped. children.mu is held.
func (p *Process) end(e Exit) {
	p.reaped = true
	p.exit = e
	close(p.exited)
}

// settle closes gone if nobody is left, and reports whether it did. The leader
// was reaped; children.mu is held.
func (c *Children) settle(p *Process) bool {
	if p.group && !p.groupEmpty() {
		return false
	}
	c.forget(p)
	return true
}

func (c *Children) forget(p *Process) {
	delete(c.started, p.pid)
	close(p.gone)
}

// enter puts a new process into the table; mu is held. If its pid has an entry
// then the kernel has recycled it, and the old group is empty.
func (c *Children) enter(p *Process) {
	if old := c.started[p.pid]; old != nil {
		c.forget(old)
	}
	c.started[p.pid] = p
}

// Exit is how a process ended. The zero value is a clean exit, status 0.
type Exit struct {
	Code   int            // the exit status if Signal is 0; -1: somebody else took it
	Signal syscall.Signal // what killed it; 0: it exited by itself
}

// String returns "exit status 3", "killed by SIGTERM" or, if other code of
// this process has waited for the child, "exit status unknown".
func (e Exit) String() string {
	switch {
	case e.Signal != 0:
		if name := unix.SignalName(e.Signal); name != "" {
			return "killed by " + name
		}
		return fmt.Sprintf("killed by signal %d", int(e.Signal))
	case e.Code < 0:
		return "exit status unknown"
	default:
		return fmt.Sprintf("exit status %d", e.Code)
	}
}

// reapPid takes the status of child pid, with the options of wait4(2). It
// reports false if the child has not ended yet.
func reapPid(pid, options int) (Exit, bool) {
	var status syscall.WaitStatus
	for {
		got, err := syscall.Wait4(pid, &status, options, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			// Somebody else waited for it. It has ended all the same, and
			// whoever waits for Exited must not wait for ever.
			return Exit{Code: -1}, true
		case got == 0:
			return Exit{}, false
		case status.Signaled():
			return Exit{Signal: status.Signal()}, true
		default:
			return Exit{Code: status.ExitStatus()}, true
		}
	}
}
