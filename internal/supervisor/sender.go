package supervisor

import (
	"os"

	"github.com/lastcall/lastcall/internal/proc"
)

// A sender is who has sent a notification, as the kernel says (unix(7),
// SCM_CREDENTIALS).
type sender struct{ user, pid int }

// noUser is none.
const noUser = -1

// speakers are the users who may notify for a life, whichever process of theirs
// does: those who could as well send it a signal.
func speakers(p *Program) map[int]bool {
	users := map[int]bool{0: true, os.Geteuid(): true}
	if id, err := proc.UserID(p.User); err == nil { // else it does not start either
		users[id] = true
	}
	return users
}

// mayNotify tells whether a notification is to be taken: from the life's own
// processes, and from the users who have power over them in any case. Its path
// keeps nobody away: /proc/net/unix shows it to all. Rejected: its own processes
// alone, as systemd has it. Many a sender, a systemd-notify in a script, has ended
// when it is heard, and then nobody can say whose child it was.
func (s *Supervisor) mayNotify(l *life, from sender) bool {
	if l.speakers[from.user] {
		return true
	}
	if from.user != noUser && proc.Descends(from.pid, l.process.Pid()) {
		l.speakers[from.user] = true // a worker may give up its user by itself
		return true
	}
	if !l.strangers {
		l.strangers = true
		s.log.Warn("notifications of a stranger are not taken; if it belongs to the worker, give the program its user", "worker", l.id.Worker(), "life", l.id.Life, "uid", from.user, "pid", from.pid)
	}
	return false
}
