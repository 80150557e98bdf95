package prefork

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/supervisor"
)

// ErrCalled is returned by Run where it cannot be the parent: it was called in
// this process before, or this process is a worker. The workers of a second
// Run would begin with main and come to the first.
var ErrCalled = errors.New("run prefork: a process calls Run once, and a worker never does")

var errWorker = errors.New("ask prefork: this process is a worker, and its supervisor is in the parent")

// A Verdict is what was not well.
type Verdict string

// The verdicts.
const (
	Failed     Verdict = "failed"         // it was not done, or not possible: the text says why
	NotStarted Verdict = "did not start"  // a worker or helper was not ready at the first start
	GaveUp     Verdict = "gave up"        // no slot is left to restart
	Cut        Verdict = "cut"            // a deadline cut work
	Died       Verdict = "died"           // something died during a stop, or had to be killed
	RolledBack Verdict = "rolled back"    // a roll did not come through; the workers before it serve on
	NoSuch     Verdict = "no such worker" // there is no such slot, or nothing in it
	Ended      Verdict = "has ended"      // Run has returned, or is about to
)

// An Error is a run that did not end well, or a command that was not, or not
// all, carried out.
type Error struct {
	Op      string // "run", "roll siege", "drain siege.2"
	Verdict Verdict
	Code    int   // the exit code: of "lastcall run", or of the verb (docs/command.md)
	Err     error // the reason, never nil
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// A ConfigError says which field of a Config is wrong, and why.
type ConfigError struct {
	Field   string // "Workers", "Helpers[1].Command"
	Problem string // in one line
}

func (e *ConfigError) Error() string { return "configure prefork: " + e.Field + ": " + e.Problem }

// ExitCode returns the exit code that the command lastcall has for what Run
// returned: 0 for nil, 78 for a *ConfigError, that of an *Error, else 1.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[*ConfigError](err); ok {
		return 78
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return 1
}

// runError makes an error of how a supervisor ended.
func runError(r supervisor.Report) error {
	if r.Code == 0 && r.Err == nil {
		return nil
	}
	v, ok := map[int]Verdict{3: NotStarted, 4: GaveUp, 5: Cut, 6: Died}[r.Code]
	if !ok {
		v = Failed
	}
	return newError("run", v, r.Code, r.Err)
}

// commandError makes an error of the verdict on a command.
func commandError(op string, c control.Verdict) error {
	v := Failed
	switch c.Code {
	case control.Done:
		return nil
	case control.NotRunning:
		v = Ended
	case control.NoSuch:
		v = NoSuch
	case control.Cut:
		v = Cut
	case control.Died:
		v = Died
	case control.RolledBack:
		v = RolledBack
	}
	text := cmp.Or(c.Text, string(v))
	if len(c.Last) > 0 {
		text += "; its last lines:\n\t" + strings.Join(c.Last, "\n\t")
	}
	return newError(op, v, c.Code, errors.New(text))
}

func newError(op string, v Verdict, code int, err error) *Error {
	if err == nil {
		err = fmt.Errorf("%s", v)
	}
	return &Error{Op: op, Verdict: v, Code: code, Err: err}
}
