package supervisor

import (
	"strings"
	"syscall"
	"testing/synctest"
	"time"
)

// check looks at what must be so when Run has returned.
func (s *simulation) check() {
	if s.ended == nil {
		s.fault("Run has not returned %v after the stop", time.Since(s.stopped))
		return
	}
	synctest.Wait()
	if n := len(s.super.replies); n != 0 {
		s.fault("%d replies are owed", n)
	}
	for _, a := range s.actors {
		switch f := a.become(); {
		case !f.ended.IsZero() || !f.killed.IsZero():
		case a.channel == nil:
			s.fault("the stop command %s (%d) lives", a.worker, a.pid)
		default:
			s.fault("%s (%d) lives", a.worker, a.pid)
		}
	}
	s.checkCode()
	// For those that the kernel holds, that hold an output, that read a file.
	<-time.After(20 * time.Second)
	synctest.Wait()
	if s.pending != 0 {
		s.fault("%d operators wait for a verdict", s.pending)
	}
	for _, a := range s.actors {
		if a.ours != nil && !a.ours.in.isDeaf() {
			s.fault("the channel of %s (%d) is open", a.worker, a.pid)
		}
		if a.notify != nil && !a.notify.isDeaf() {
			s.fault("the notify socket of %s (%d) is open", a.worker, a.pid)
		}
		for _, out := range a.outputs {
			if !out.isDeaf() {
				s.fault("an output of %s (%d) is open", a.worker, a.pid)
			}
		}
	}
	for name, l := range s.super.listeners {
		if l.Socket(0).FD() >= 0 {
			s.fault("listener %s is open", name)
		}
	}
}

// checkCode holds the exit code against what has happened.
func (s *simulation) checkCode() {
	log := s.log.String()
	up := strings.Contains(log, "msg=ready\n")
	badly, perhaps := s.endedBadly()
	switch r := *s.ended; {
	case r.Code == exitDone && r.Err != nil, r.Code != exitDone && r.Err == nil:
		s.fault("report %+v", r)
	case r.Code == exitNotUp && up:
		s.fault("code %d, and all was up", r.Code)
	case r.Code == exitGaveUp && !strings.Contains(log, "gave up") && !strings.Contains(log, "not restarting"):
		s.fault("code %d, and nobody gave up", r.Code)
	case r.Code == exitDied && badly+perhaps == "":
		s.fault("code %d, and nobody died", r.Code)
	case (r.Code == exitDone || r.Code == exitCut) && badly != "":
		s.fault("code %d, and %s during the stop", r.Code, badly)
	case r.Code != exitDone && r.Code != exitCut && r.Code != exitDied && r.Code != exitNotUp && r.Code != exitGaveUp:
		s.fault("code %d", r.Code)
	}
}

// endedBadly names a life that has died, or had to be killed, after the final
// stop; and one that was killed before, whose end
// came after it, or may have been heard of only after its KILL.
func (s *simulation) endedBadly() (badly, perhaps string) {
	if s.stopped.IsZero() {
		return "", "nobody has asked for the stop"
	}
	for _, a := range s.actors {
		e, f := a.Exit(), a.become()
		clean := f.drained || e.Signal == syscall.SIGTERM || e.Signal == syscall.SIGINT || e.Signal == 0 && (e.Code == 0 || e.Code == 143)
		switch {
		case a.channel == nil || !f.ended.IsZero() && !f.ended.Add(a.unheard()).After(s.stopped):
		case f.killed.After(s.stopped):
			badly = a.worker + " was killed"
		case !f.killed.IsZero() || a.late:
			perhaps = a.worker + " was killed"
		case !clean:
			badly = a.worker + " died"
		}
	}
	return badly, perhaps
}

// unheard is how long after its end at most the loop hears of it.
func (a *actor) unheard() time.Duration {
	if a.late {
		return 200 * time.Millisecond
	}
	return 0
}

// clear ends what is left, so that the bubble can.
func (s *simulation) clear() {
	for _, a := range s.actors {
		a.told("", syscall.SIGKILL)
	}
	<-time.After(20 * time.Second)
}
