package pool

import (
	"slices"
	"testing"
	"time"
)

// An acquaintance is a life that another was introduced to.
type acquaintance struct {
	id    ID
	times int
	lost  bool // since the last time
}

func (p *process) acquainted(id ID) *acquaintance {
	i := slices.IndexFunc(p.met, func(a acquaintance) bool { return a.id == id })
	if i < 0 {
		return nil
	}
	return &p.met[i]
}

func (p *process) meet(to ID) {
	if a := p.acquainted(to); a != nil {
		a.times, a.lost = a.times+1, false
		return
	}
	p.met = append(p.met, acquaintance{id: to, times: 1})
}

func (p *process) lose(peer ID) {
	if a := p.acquainted(peer); a != nil {
		a.lost = true
	}
}

// hands tells whether a life hands its connections on: it was told to drain for
// a roll by word, and has them still.
func (p *process) hands() bool {
	return p.moves && p.state == LifeDraining && p.asked && !p.signal && p.reason == ForRoll && !p.drained && !p.exited && !p.ending
}

func (p *process) takes() bool { return p.moves && p.state == LifeReady && !p.ending }

// stays tells whether nobody has said yet that a life is to end or to be
// replaced: neither an operator, nor the roll under way, nor it itself.
func (w *world) stays(p *process) bool {
	pr, s := w.core(p.id)
	if w.stopping() || pr.held || pr.goes() || s.stopped || p.id.Slot >= pr.wanted || p.ending || p.leaving() {
		return false
	}
	if _, _, l := w.pool.life(p.id); l == nil || l.worn != "" {
		return false
	}
	for _, o := range w.alive {
		if o.id.Worker() == p.id.Worker() && o.id.Life > p.id.Life && !o.leaving() {
			return false // its successor
		}
	}
	return !w.displaces(p)
}

// displaces tells whether the roll under way is yet to replace a life.
func (w *world) displaces(p *process) bool {
	pr, s := w.core(p.id)
	if !w.rolls(pr) {
		return false
	}
	for _, it := range w.pool.rolls[0].slots {
		if it.slot == s && !it.done {
			return it.next == nil || it.next.id != p.id
		}
	}
	return false
}

// apart tells whether two lives of a program have addresses of their own.
func (w *world) apart(a, b ID) bool {
	pr, _ := w.core(a)
	return pr.Ports && a.Slot != b.Slot
}

func introducedWell(w *world, a Action) {
	const rule = "introduced is who drains for a roll to who serves and stays"
	in, ok := a.(Introduce)
	if !ok {
		return
	}
	from, to := w.process(in.From), w.process(in.To)
	switch {
	case from == nil || to == nil || !from.hands() || !to.takes():
		w.fail(rule, "%s", render(a))
		return
	case in.From.Program != in.To.Program || from == to:
		w.fail(rule, "%s", render(a))
	case w.apart(in.From, in.To):
		w.fail(rule, "%s, which has another address", render(a))
	case w.stopping() || w.displaces(to):
		w.fail(rule, "%s, which is to end too", render(a))
	}
	if pr, _ := w.core(in.To); w.rolls(pr) && w.pool.rolls[0].all && to.generation != pr.generation {
		w.fail(rule, "%s of generation %d, and the roll is to %d", render(a), to.generation, pr.generation)
	}
	if met := from.acquainted(in.To); met != nil && (!met.lost || met.times >= maxMeetings) {
		w.fail(rule, "%s, which have met %d times, lost %v", render(a), met.times, met.lost)
	}
}

func allIntroduced(w *world, e *entry) {
	for _, from := range w.alive {
		for _, to := range w.alive {
			if from.id.Program != to.id.Program || w.apart(from.id, to.id) || !from.hands() || !to.takes() || !w.stays(to) {
				continue
			}
			met := from.acquainted(to.id)
			lost, isLost := e.event.(Lost)
			if met == nil || isLost && lost == (Lost{from.id, to.id}) && met.lost && met.times < maxMeetings {
				w.fail("whoever can move is introduced to all that can take, once, and again when it has lost one", "%s does not know %s", from.id, to.id)
			}
		}
	}
}

func movedToSomebody(w *world, a Action) {
	const rule = "a drain waits for peers if some are there or come up, and only then"
	ask, ok := a.(Ask)
	from := w.process(idOf(a))
	if !ok || from == nil {
		return
	}
	if ask.Move && (!from.moves || ask.Reason != ForRoll || from.signal) {
		w.fail(rule, "%s, which moves: %v", render(a), from.moves)
	}
	if _, reloads := w.story[len(w.story)-1].event.(Reload); reloads {
		return // who stays is decided by the rest of it
	}
	if slices.ContainsFunc(w.alive, func(to *process) bool {
		return to.id.Program == from.id.Program && (w.mute(to) || !to.retire.IsZero() && !to.retire.After(w.now))
	}) {
		return // who is too old or silent is found out later in the step
	}
	if len(w.pool.rolls) > 0 && w.pool.rolls[0] != w.rolled {
		return // so is whom a roll that begins in it replaces
	}
	some := slices.ContainsFunc(w.alive, func(to *process) bool {
		return to != from && to.id.Program == from.id.Program && !w.apart(from.id, to.id) && w.stays(to) && (to.takes() || to.state == LifeStarting && to.moves || (to.state == LifeStarting || to.state == LifeReady) && !to.hello)
	})
	if from.moves && ask.Reason == ForRoll && !from.signal && ask.Move != some {
		w.fail(rule, "%s, and somebody is there: %v", render(a), some)
	}
}

// TestPeersAreFew rolls many workers that all drain for long: each is introduced
// to few, and nobody to many more than others.
func TestPeersAreFew(t *testing.T) {
	const workers = 50
	p := New([]Program{{Name: "web", Workers: workers, Listeners: []string{"web"}, MaxSurge: 1, DrainTimeout: time.Hour, ReadyTimeout: time.Hour}}, 1)
	now := time.Unix(0, 0)
	given, taken := map[ID]int{}, map[ID]int{}
	var play func(Event)
	play = func(e Event) {
		for _, a := range p.Step(now, e) {
			switch a := a.(type) {
			case Spawn:
				play(Hello{ID: a.ID, Moves: true})
				play(Ready{ID: a.ID})
			case Introduce:
				given[a.From]++
				taken[a.To]++
			}
		}
	}
	play(Begin{})
	play(Restart{Slot: -1})
	if len(given) != workers || len(taken) != workers {
		t.Fatalf("%d give to %d, want all %d", len(given), len(taken), workers)
	}
	for id, n := range given {
		if n > maxPeers {
			t.Errorf("%s has %d peers, want at most %d", id, n, maxPeers)
		}
	}
	for id, n := range taken {
		if n > 2*maxPeers {
			t.Errorf("%s is the peer of %d, want about %d", id, n, maxPeers)
		}
	}
}
