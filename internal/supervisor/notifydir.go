package supervisor

import "os"

// A notifyPlace is where the notify sockets are.
type notifyPlace struct {
	dir  string // of this supervisor alone, made when the first is; "": none
	said bool   // that they have no paths
}

// placeNotify chooses the directory, unless a predecessor has.
func (s *Supervisor) placeNotify() {
	if s.notify.dir != "" {
		return
	}
	var err error
	if s.notify.dir, err = notifyDir(); err != nil {
		s.sayPathless(err)
	}
}

// giveNotify gives a life its notify socket: one without a path is better than
// no worker.
func (s *Supervisor) giveNotify(l *life) (err error) {
	if s.notify.dir != "" {
		if l.notify, l.env.Notify, err = s.system.notify(l.id, s.notify.dir); err == nil {
			return nil
		}
		s.sayPathless(err)
	}
	l.notify, l.env.Notify, err = s.system.notify(l.id, "")
	return err
}

func (s *Supervisor) sayPathless(err error) {
	if s.notify.said {
		return
	}
	s.notify.said = true
	s.log.Warn("notify sockets have abstract names, which some clients do not know; set RUNTIME_DIRECTORY or TMPDIR to a directory that can be written to", "err", err)
}

// removeNotify removes the directory, with what lives have left there that even
// KILL has not ended.
func (s *Supervisor) removeNotify() {
	if s.notify.dir == "" {
		return
	}
	if err := os.RemoveAll(s.notify.dir); err != nil {
		s.log.Warn("remove notify sockets", "err", err)
	}
}
