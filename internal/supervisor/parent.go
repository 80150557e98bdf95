package supervisor

import (
	"fmt"
	"strings"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/pool"
)

// What the parent is told of a supervisor.
type phase string

const (
	untold    phase = ""
	starting  phase = "starting"
	serving   phase = "serving"
	reloading phase = "reloading"
	stopping  phase = "stopping"
)

// extendEvery is how often a parent that could lose its patience is told that
// this goes on, and extendBy the least that it is asked for.
const (
	extendEvery = 5 * time.Second
	extendBy    = 15 * time.Second
)

// told is what the parent knows, and what it is to know.
type told struct {
	phase   phase
	status  string
	hangup  bool      // HUP has asked for a reload or a roll, which has not ended
	loads   int       // of the configuration that are under way for it
	verdict string    // on it, if not all went well
	waits   string    // what a drain waits for
	extend  time.Time // when to ask for more time; zero: there is no need
	until   time.Time // what was asked for
	alive   time.Time // when to give a sign of life; zero: nobody waits for one
}

// tellParent brings what the parent knows in line with what is true, and is called after
// each event: so no way from one state to another can leave it out.
func (s *Supervisor) tellParent() {
	p := s.options.Parent
	if !p.Hears() {
		return
	}
	s.store()
	now, snap := time.Now(), s.core.Snapshot()
	was, is := s.told.phase, s.phase(&snap)
	status := s.statusLine(is, &snap)
	switch s.told.phase = is; {
	case is == was && status != s.told.status:
		p.Status(status)
	case is == was:
	case is == serving:
		p.Ready(status)
	case is == reloading:
		p.Reloading(status)
	case is == stopping:
		p.Stopping(status)
	default:
		p.Status(status)
	}
	s.told.status = status
	last := lastDeadline(&snap)
	switch {
	case is == serving:
		s.told.extend, s.told.until = time.Time{}, time.Time{}
	case !now.Before(s.told.extend) || last.After(s.told.until):
		// Again and again also where the last one was enough: deadlines of
		// programs whose turn has not come do not run yet.
		s.told.extend, s.told.until = now.Add(extendEvery), now.Add(extendBy)
		if last.After(s.told.until) {
			s.told.until = last
		}
		p.Extend(s.told.until.Sub(now))
	}
	if every := p.Watchdog() / 2; every > 0 && !now.Before(s.told.alive) {
		p.Alive() // after Extend, by which systemd moves this deadline too
		s.told.alive = now.Add(every)
	}
}

// due returns when the parent is to hear of us at the latest, if it is.
func (t *told) due() (time.Time, bool) {
	if !t.extend.IsZero() && (t.alive.IsZero() || t.extend.Before(t.alive)) {
		return t.extend, true
	}
	return t.alive, !t.alive.IsZero()
}

func (s *Supervisor) ending() bool {
	return s.core.Phase() == pool.Stopping || s.core.Phase() == pool.Finished
}

// phase also ends a reload, when nothing of it is under way any more.
func (s *Supervisor) phase(snap *pool.Snapshot) phase {
	if s.told.loads == 0 && !snap.Rolling && !s.core.Reloading() {
		s.told.hangup = false
	}
	switch {
	case s.ending():
		return stopping
	case snap.Phase == pool.Starting:
		return starting
	case s.told.hangup:
		return reloading
	}
	return serving
}

// hungUp notes that HUP has asked for a reload. The parent that has sent it waits
// for an answer, also if there is nothing to do.
func (s *Supervisor) hungUp() {
	s.told.hangup, s.told.verdict = true, ""
	if s.told.phase == serving || s.told.phase == reloading {
		s.told.phase = reloading
		s.options.Parent.Reloading(s.told.status)
	}
}

// judged keeps what did not go well in the reload that HUP has asked for.
func (s *Supervisor) judged(text string) {
	if s.told.hangup && s.told.verdict == "" {
		s.told.verdict = text
	}
}

// rolled is judged with the verdict on a roll.
func (s *Supervisor) rolled(a pool.Rolled) {
	switch {
	case a.Verdict.Outcome == pool.Done:
	case a.Verdict.Text == "":
		s.judged(a.Program + ": " + a.Verdict.Outcome.String())
	default:
		s.judged(a.Program + ": " + a.Verdict.Text)
	}
}

// lastDeadline is when the last of the deadlines that run is over, and who has
// missed it has been killed; zero: none runs.
func lastDeadline(snap *pool.Snapshot) time.Time {
	var last time.Time
	for _, p := range snap.Programs {
		for _, slot := range p.Slots {
			for _, v := range slot.Lives {
				if v.State != pool.LifeReady && !v.Deadline.IsZero() && v.Deadline.Add(extendEvery).After(last) {
					last = v.Deadline.Add(extendEvery)
				}
			}
		}
	}
	return last
}

// statusLine says in one line how things are.
func (s *Supervisor) statusLine(is phase, snap *pool.Snapshot) string {
	var ready, wanted, lives int
	for _, p := range snap.Programs {
		wanted += p.Wanted
		for _, slot := range p.Slots {
			lives += len(slot.Lives)
			for _, v := range slot.Lives {
				if v.State == pool.LifeReady {
					ready++
					break // of two that serve in a slot, in a roll, one counts
				}
			}
		}
	}
	if s.told.waits != "" && s.draining() {
		return "draining: " + s.told.waits
	}
	s.told.waits = ""
	of := fmt.Sprintf("%d of %d workers ready", ready, wanted)
	if ready == wanted {
		of = workers(ready) + " ready"
	}
	switch is {
	case stopping:
		if s.report != nil {
			return s.lastWords()
		}
		return "stopping: " + workers(lives) + " left"
	case serving:
		if s.told.verdict != "" {
			return of + "; the last reload: " + oneLine(s.told.verdict)
		}
		return of
	case starting, reloading, untold:
	}
	return string(is) + ": " + of
}

func (s *Supervisor) lastWords() string {
	if s.report.Err == nil {
		return "stopped"
	}
	first, _, _ := strings.Cut(s.report.Err.Error(), "\n")
	return "stopped: " + oneLine(first)
}

func workers(n int) string {
	if n == 1 {
		return "1 worker"
	}
	return fmt.Sprintf("%d workers", n)
}

// oneLine is a text without what would end an assignment of the protocol.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// waiting is for the parent what the log says of a drain: the first that has
// something to wait for, and how many others there are.
func waiting(list []control.Progress) string {
	if len(list) == 0 {
		return ""
	}
	first := list[0]
	for _, p := range list {
		if p.Waiting != "" {
			first = p
			break
		}
	}
	what, _, _ := strings.Cut(first.Waiting, " (")
	text := first.Worker
	if what != "" {
		text += " " + oneLine(what)
	}
	text += fmt.Sprintf(", %v left", first.Left.Round(100*time.Millisecond))
	if more := len(list) - 1; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}
