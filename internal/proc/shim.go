package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// orderVariable is the environment variable that turns a process of the
// caller's own executable into the shim.
const orderVariable = "LASTCALL_EXEC"

// An order is what the shim is told: "2 held,pinned 1000:1000:1000,27
// /usr/bin/program". The path comes last and whole, since it may hold any byte.
type order struct {
	files  int    // how many descriptors above 2 the program gets
	pinned bool   // the one behind them is the program's executable
	held   bool   // the one behind those says when to go on
	user   string // see lookup
	path   string
}

func (o order) encode() string {
	how := "free"
	if o.held {
		how = "held"
	}
	if o.pinned {
		how += ",pinned"
	}
	return fmt.Sprintf("%s=%d %s %s %s", orderVariable, o.files, how, o.user, o.path)
}

func parseOrder(s string) (order, error) {
	parts := strings.SplitN(s, " ", 4)
	if len(parts) != 4 {
		return order{}, fmt.Errorf("parse %s: %q has not four parts", orderVariable, s)
	}
	how, pinned := strings.CutSuffix(parts[1], ",pinned")
	if how != "free" && how != "held" {
		return order{}, fmt.Errorf("parse %s: %q is neither free nor held", orderVariable, parts[1])
	}
	files, err := strconv.Atoi(parts[0])
	if err != nil || files < 0 {
		return order{}, fmt.Errorf("parse %s: %q is no number of files", orderVariable, parts[0])
	}
	return order{files: files, pinned: pinned, held: how == "held", user: parts[2], path: parts[3]}, nil
}

// Pending reports whether this process was started to become another program,
// so that Shim will not return. It is for what runs before main.
func Pending() bool {
	_, found := syscall.Getenv(orderVariable)
	return found
}

// Shim must be the first call in the main of every program that uses Start. It
// returns at once, unless this process was started to become another program.
// Then it never returns: it sets LISTEN_PID if LISTEN_FDS is there, closes
// what the program was not given, takes on its user, resets signal
// dispositions and the signal mask, and executes it under the same pid; if
// that fails it writes one line to stderr and exits with 127 if there is no
// such file, else with 126, as shells do.
//
// It is done here because Go has no hook between fork and exec, and in this
// executable rather than in a second one because that could be missing.
func Shim() {
	value, found := syscall.Getenv(orderVariable)
	if !found {
		return
	}
	o, err := parseOrder(value)
	if err == nil {
		err = o.carryOut()
	}
	fmt.Fprintf(os.Stderr, "lastcall: start %s: %v\n", o.path, err)
	if errors.Is(err, fs.ErrNotExist) {
		os.Exit(127)
	}
	os.Exit(126)
}

// carryOut returns only if it failed.
func (o order) carryOut() error {
	if o.held {
		word := 3 + o.files
		if o.pinned {
			word++
		}
		if err := awaitWord(word); err != nil {
			return err
		}
	}
	// The signal mask is the thread's, and exec takes it from the caller's.
	runtime.LockOSThread()
	// Before the change of user, which may take the right to read /proc.
	if err := closeOnExec(3 + o.files); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	if err := become(o.user); err != nil {
		return err
	}
	if err := resetSignals(); err != nil {
		return fmt.Errorf("reset signals: %w", err)
	}
	path := o.executable()
	return explain(path, syscall.Exec(path, os.Args, programEnvironment(os.Environ(), os.Getpid())))
}

// awaitWord waits until the process that started this one lets it go on. An
// error means that it has ended: nobody may know of this process, so it must
// not become a program that runs on.
func awaitWord(fd int) error {
	for {
		n, err := syscall.Read(fd, make([]byte, 1))
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return fmt.Errorf("wait for the word to go on: %w", err)
		case n == 0:
			return errors.New("whoever started it has ended")
		default:
			return nil
		}
	}
}

// programEnvironment returns env without the order, and with LISTEN_PID.
func programEnvironment(env []string, pid int) []string {
	out := make([]string, 0, len(env)+1)
	listens := false
	for _, entry := range env {
		listens = listens || strings.HasPrefix(entry, "LISTEN_FDS=")
		if !strings.HasPrefix(entry, orderVariable+"=") {
			out = append(out, entry)
		}
	}
	if !listens {
		return out
	}
	kept := out[:0]
	for _, entry := range out {
		if !strings.HasPrefix(entry, "LISTEN_PID=") {
			kept = append(kept, entry)
		}
	}
	return append(kept, fmt.Sprintf("LISTEN_PID=%d", pid))
}

// closeListed marks every open descriptor from first on close-on-exec, as dir
// lists them.
func closeListed(dir string, first int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= first {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}
