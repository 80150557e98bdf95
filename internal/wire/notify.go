package wire

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Notification is one datagram of systemd's notify protocol (sd_notify(3)),
// with what is ours: the operations of a worker that has no ledger of package
// lastcall. An assignment that is not known, or whose value makes no sense, is
// ignored.
//
// Not here is BARRIER=1: the descriptor that comes with it is closed by the
// kernel when the datagram is read without its descriptors, and by then all
// before it has been taken.
type Notification struct {
	Ready     bool
	Stopping  bool // it ends by itself
	Reloading bool // until it is Ready again
	Watchdog  bool // a sign of life
	Trigger   bool // as if its signs of life had failed to come
	Status    string
	MainPID   int            // what it takes for its main process; 0: it does not say
	Watch     *time.Duration // how long it may be without a sign from now on, 0 for ever; nil: as before
	Extend    time.Duration  // it asks for so long from now; 0: it does not
	Marks     []Mark         // in the order they were said
}

// A Mark is the begin or the end of an operation. An end ends the oldest one
// of its name.
type Mark struct {
	Begin bool
	Name  string
	Class Class // of one that begins
}

// maxName is how many bytes of an operation's name are kept.
const maxName = 200

// ParseNotify reads one datagram: assignments separated by newlines. It never
// panics, whatever the bytes.
func ParseNotify(b []byte) Notification {
	var n Notification
	class := Critical
	for line := range strings.SplitSeq(string(b), "\n") {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		switch key {
		case "READY":
			n.Ready = n.Ready || value == "1"
		case "STOPPING":
			n.Stopping = n.Stopping || value == "1"
		case "RELOADING":
			n.Reloading = n.Reloading || value == "1"
		case "WATCHDOG":
			n.Watchdog = n.Watchdog || value == "1"
			n.Trigger = n.Trigger || value == "trigger"
		case "WATCHDOG_USEC":
			if d, ok := microseconds(value); ok {
				n.Watch = &d
			}
		case "EXTEND_TIMEOUT_USEC":
			if d, ok := microseconds(value); ok {
				n.Extend = d
			}
		case "MAINPID":
			if pid, err := strconv.ParseInt(value, 10, 32); err == nil && pid > 0 {
				n.MainPID = int(pid)
			}
		case "STATUS":
			n.Status = strings.ToValidUTF8(value, "\uFFFD")
		case "X_LASTCALL_CLASS":
			if c := Class(value); c == Critical || c == Expendable {
				class = c
			}
		case "X_LASTCALL_BEGIN":
			n.Marks = append(n.Marks, Mark{Begin: true, Name: operationName(value), Class: class})
		case "X_LASTCALL_END":
			n.Marks = append(n.Marks, Mark{Name: operationName(value)})
		}
	}
	return n
}

// microseconds reads a number of them; what is more than a Duration can hold is
// the longest.
func microseconds(text string) (time.Duration, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt64/1000)) * time.Microsecond, true
}

// operationName makes one line of valid text of what a worker calls an
// operation. One without a name, from a script whose variable is empty, counts
// all the same: it must not hold nothing in silence.
func operationName(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > maxName {
		end := maxName
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return cmp.Or(text, "operation")
}
