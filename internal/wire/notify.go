package wire

import (
	"strconv"
	"strings"
)

// A Notification is one datagram of systemd's notify protocol (sd_notify(3)).
// Unknown assignments are ignored.
type Notification struct {
	Ready    bool
	Stopping bool
	Watchdog bool
	Status   string
	MainPID  int // what it takes for its main process; 0: it does not say
}

// ParseNotify reads one datagram: assignments separated by newlines. It never
// panics, whatever the bytes.
func ParseNotify(b []byte) Notification {
	var n Notification
	for line := range strings.SplitSeq(string(b), "\n") {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		switch {
		case key == "READY" && value == "1":
			n.Ready = true
		case key == "STOPPING" && value == "1":
			n.Stopping = true
		case key == "WATCHDOG" && value == "1":
			n.Watchdog = true
		case key == "STATUS":
			n.Status = strings.ToValidUTF8(value, "\uFFFD")
		case key == "MAINPID":
			if pid, err := strconv.Atoi(value); err == nil && pid > 0 {
				n.MainPID = pid
			}
		}
	}
	return n
}
