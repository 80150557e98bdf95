package pool

import (
	"fmt"
	"slices"
	"strings"
)

// play does one move, if it is possible now.
func (w *world) play(m move) {
	if w.done() {
		return
	}
	w.now = w.now.Add(m.after)
	switch m.what {
	case "tick":
		w.step(Tick{})
	case "deadline":
		w.passDeadline()
	case "quiesced":
		w.quiesced()
	case "nonsense":
		w.playNonsense(m.number)
	case "stop":
		w.step(Stop{w.token(), m.program, m.slot, m.now})
	case "start":
		w.step(Start{w.token(), m.program, m.slot})
	case "restart":
		w.step(Restart{w.token(), m.program, m.slot, m.now})
	case "scale":
		w.step(Scale{w.token(), m.program, m.number})
	case "rollback":
		w.step(Rollback{w.token(), m.program})
	case "reload":
		w.reload(m)
	default:
		if p := w.at(m); p != nil {
			w.playLife(p, m)
		}
	}
}

func (w *world) token() int { w.tokens++; return w.tokens }

// playLife does what a process can do: nothing before it was started nor after
// its end, nothing over a channel that it has not opened, everything once.
func (w *world) playLife(p *process, m move) {
	switch {
	case m.what == "hello" && !p.hello && !p.exited:
		w.step(Hello{p.id, m.number == 1})
	case m.what == "lost" && len(p.met) > 0 && !p.exited:
		w.step(Lost{p.id, p.met[m.number%len(p.met)].id})
	case m.what == "ready" && !p.saidReady && !p.exited:
		w.step(Ready{p.id})
	case m.what == "alive" && p.saidReady && !p.exited:
		w.step(Alive{p.id})
	case m.what == "worn" && !p.exited:
		w.step(Worn{p.id, "requests"})
	case m.what == "closed" && p.hello && !p.exited:
		w.step(Closed{p.id, p.listens[:min(len(p.listens), 1+m.number)]})
	case m.what == "drained" && p.hello && !p.drained && !p.exited:
		w.step(Drained{p.id, m.number})
	case m.what == "quiet" && p.lame && !p.exited:
		w.step(Quiet{p.id})
	case m.what == "gate_open" && p.atGate:
		w.step(GateOpen{p.id})
	case m.what == "command_failed" && p.command:
		w.step(CommandFailed{p.id})
	case m.what == "exited" && !p.exited && !p.killed:
		w.step(Exited{p.id})
	case m.what == "gone" && p.killed:
		w.step(Gone{ID: p.id, Exit: Exit{Signal: 9}})
	case m.what == "gone":
		w.step(Gone{ID: p.id, Exit: Exit{Code: m.number}})
	}
}

// playNonsense brings an event that cannot mean anything.
func (w *world) playNonsense(n int) {
	id := ID{Program: "nobody", Life: 1}
	if len(w.ended) > 0 {
		id = w.ended[len(w.ended)-1]
	}
	w.nonsense = true
	w.step([]Event{
		Gone{ID: id}, Hello{id, true}, Ready{id}, Drained{id, 1}, Exited{id}, GateOpen{id}, CommandFailed{id}, Quiesced{"nothing"},
		Alive{id}, Worn{id, "requests"}, Lost{id, id}, Quiet{id},
	}[n])
	w.nonsense = false
}

// at returns the life that a move names.
func (w *world) at(m move) *process {
	n := m.nth
	for _, p := range w.alive {
		if p.id.Program == m.program && p.id.Slot == m.slot {
			if n--; n < 0 {
				return p
			}
		}
	}
	return nil
}

// nth returns how many older lives are in the slot of p.
func (w *world) nth(p *process) int {
	n := 0
	for _, o := range w.alive[:slices.Index(w.alive, p)] {
		if o.id.Program == p.id.Program && o.id.Slot == p.id.Slot {
			n++
		}
	}
	return n
}

func (w *world) passDeadline() bool {
	d, ok := w.pool.Deadline()
	if ok {
		w.now = d
		w.step(Tick{})
	}
	return ok
}

// quiesced empties the queue of one listener that takes no newcomers.
func (w *world) quiesced() bool {
	for _, l := range w.pool.listeners {
		if m := w.listener[l.name]; m.quiescing && !m.quiet {
			w.step(Quiesced{l.name})
			return true
		}
	}
	return false
}

// end plays what must be possible from wherever a schedule has led to: first
// everything that is under way comes to its good end, then all is stopped and
// nobody ends unless he is killed.
func (w *world) end() {
	w.rest()
	if !w.finished && !w.stopping() {
		w.step(Stop{Token: w.token(), Slot: -1})
	}
	w.obey()
	if w.broken == nil && !w.finished {
		w.fail("a stop finishes within the sum of its deadlines", "it has not")
	}
	w.answered()
}

// rest lets everything come up, or end, that is on its way: then all that is
// wanted serves, and no command is left without its reply.
func (w *world) rest() {
	for range 2000 {
		if w.done() || w.stopping() {
			return
		}
		if !w.cooperate() && !(w.waits() && (w.ping() || w.passDeadline())) {
			break
		}
	}
	if w.done() {
		return
	}
	w.answered()
	const rule = "at rest all that is wanted serves"
	if len(w.pool.rolls) > 0 {
		if r := w.pool.rolls[0]; r.program.stopped() == nil {
			w.fail(rule, "a roll of %s is under way", r.program.Name)
		}
	}
	for i, p := range w.alive {
		if i > 0 && p.state != LifeStuck && slices.ContainsFunc(w.alive[:i], func(o *process) bool { return o.id.Worker() == p.id.Worker() && o.state != LifeStuck }) {
			w.fail(rule, "%s has company", p.id)
		}
	}
	for _, pr := range w.pool.programs {
		waits := pr.stopped() != nil || slices.ContainsFunc(pr.needs, func(n *program) bool { return !n.serves() })
		for _, s := range pr.slots[:pr.wanted] {
			if !waits && !s.stopped && !s.failed && !s.ended && !w.serves(pr.Name, s.n) {
				w.fail(rule, "%s.%d does not, and nothing is left to wait for", pr.Name, s.n)
			}
		}
	}
}

// waits tells whether a deadline is to be waited for that does not come again
// and again for ever, as those of ages and watchdogs do.
func (w *world) waits() bool {
	for _, pr := range w.pool.programs {
		for _, s := range pr.slots {
			if !s.retry.IsZero() || slices.ContainsFunc(s.lives, func(l *life) bool { return !l.deadline.IsZero() || !l.proven.IsZero() }) {
				return true
			}
		}
	}
	return false
}

// ping lets the life whose watchdog would lose patience next give a sign.
func (w *world) ping() bool {
	next, _ := w.pool.Deadline()
	i := slices.IndexFunc(w.alive, func(p *process) bool {
		return p.state == LifeReady && p.silent.Equal(next) && next.After(w.now.Add(1))
	})
	if i >= 0 {
		w.now = next.Add(-1)
		w.step(Alive{w.alive[i].id})
	}
	return i >= 0
}

// cooperate lets one process do what is wanted of it.
func (w *world) cooperate() bool {
	for _, p := range w.alive {
		switch {
		case p.state == LifeStuck:
		case p.atGate:
			w.step(GateOpen{p.id})
			return true
		case p.asked && p.hold && !p.quit && !p.drained && !p.killed && !p.exited:
			w.step(Drained{p.id, 0})
			return true
		case p.killed:
			w.step(Gone{ID: p.id, Exit: Exit{Signal: 9}})
			return true
		case p.told || p.exited:
			w.step(Gone{ID: p.id})
			return true
		case !p.saidReady:
			w.step(Ready{p.id})
			return true
		}
	}
	return w.quiesced()
}

// obey lets every life do nothing but end when it is killed: a stop must then
// finish within the sum of the deadlines of its programs, one after the other.
func (w *world) obey() {
	limit := w.now
	for _, p := range w.everyProgram() {
		limit = limit.Add(p.LameDuck + p.DrainTimeout + p.StopTimeout + p.DrainTimeout + p.UnwindTimeout + KillMargin)
	}
	for !w.done() {
		switch i := slices.IndexFunc(w.alive, func(p *process) bool { return p.killed && p.state != LifeStuck }); {
		case i >= 0:
			w.step(Gone{ID: w.alive[i].id, Exit: Exit{Signal: 9}})
		case !w.quiesced() && !w.passDeadline():
			w.fail("a stop finishes within the sum of its deadlines", "it waits for nothing, with %d lives left", len(w.alive))
		}
		if w.now.After(limit) {
			w.fail("a stop finishes within the sum of its deadlines", "it takes longer")
		}
	}
}

// answered wants the one reply of every command.
func (w *world) answered() {
	for token := 1; token <= w.tokens && w.broken == nil; token++ {
		if w.replies[token] != 1 {
			w.fail("every command gets exactly one reply", "command %d has %d, and nothing is left to wait for", token, w.replies[token])
		}
	}
}

// transcript tells the story so that TestTranscripts can play it.
func (w *world) transcript() string {
	var b strings.Builder
	for _, line := range w.lines {
		fmt.Fprintln(&b, line)
	}
	for _, e := range w.story {
		for _, line := range e.declared {
			fmt.Fprintln(&b, line)
		}
		if e.wait > 0 {
			fmt.Fprintln(&b, "> wait", e.wait)
		}
		fmt.Fprintln(&b, ">", say(e.event))
		for _, a := range e.actions {
			fmt.Fprintln(&b, render(a))
		}
	}
	return b.String()
}

// say is the inverse of stage.parse.
func say(e Event) string {
	switch e := e.(type) {
	case Begin:
		return "begin"
	case Tick:
		return "tick"
	case Hello:
		return strings.TrimSuffix("hello "+e.ID.String()+" "+word(e.Moves, "moves"), " ")
	case Lost:
		return "lost " + e.ID.String() + " " + e.Peer.String()
	case Ready:
		return "ready " + e.ID.String()
	case Alive:
		return "alive " + e.ID.String()
	case Hung:
		return "hung " + e.ID.String()
	case Watch:
		return fmt.Sprintf("watch %s %v", e.ID, e.Every)
	case Extend:
		return fmt.Sprintf("extend %s %v", e.ID, e.By)
	case Ending:
		return "ending " + e.ID.String()
	case Busy:
		return strings.TrimSuffix("busy "+e.ID.String()+" "+word(!e.Is, "no"), " ")
	case Worn:
		return "worn " + e.ID.String() + " " + e.Why
	case Closed:
		return "closed " + e.ID.String() + " " + strings.Join(e.Listeners, " ")
	case Drained:
		return fmt.Sprintf("drained %s %d", e.ID, e.Cut)
	case Quiet:
		return "quiet " + e.ID.String()
	case GateOpen:
		return "gate_open " + e.ID.String()
	case CommandFailed:
		return "command_failed " + e.ID.String()
	case Exited:
		return "exited " + e.ID.String()
	case Gone:
		if e.Exit.Signal != 0 {
			return fmt.Sprintf("gone %s signal=%d", e.ID, e.Exit.Signal)
		}
		return fmt.Sprintf("gone %s %d", e.ID, e.Exit.Code)
	case Quiesced:
		return "quiesced " + e.Listener
	case Stop:
		return strings.TrimSuffix(fmt.Sprintf("stop %d %s %s", e.Token, sayTarget(e.Program, e.Slot), word(e.Now, "now")), " ")
	case Start:
		return fmt.Sprintf("start %d %s", e.Token, sayTarget(e.Program, e.Slot))
	case Restart:
		return strings.TrimSuffix(fmt.Sprintf("restart %d %s %s", e.Token, sayTarget(e.Program, e.Slot), word(e.Hard, "hard")), " ")
	case Reload:
		return strings.TrimSuffix(fmt.Sprintf("reload %d all %s", e.Token, strings.Join(e.Roll, " ")), " ")
	case Rollback:
		return fmt.Sprintf("rollback %d %s", e.Token, sayTarget(e.Program, -1))
	case Scale:
		return fmt.Sprintf("scale %d %s %d", e.Token, e.Program, e.Workers)
	}
	panic(fmt.Sprintf("no words for %T", e))
}

func sayTarget(program string, slot int) string {
	switch {
	case program == "":
		return "all"
	case slot < 0:
		return program
	}
	return ID{Program: program, Slot: slot}.Worker()
}

func word(is bool, text string) string {
	if is {
		return text
	}
	return ""
}
