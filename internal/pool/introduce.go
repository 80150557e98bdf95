package pool

import "slices"

// maxMeetings bounds how often two lives are introduced. A peer that has no
// descriptor left loses its end at once, each time, and would keep both and
// the supervisor busy for nothing.
const maxMeetings = 3

// maxPeers bounds how many peers a life has at a time: a thousand workers that
// all knew each other would cost the supervisor half a million pairs a roll.
const maxPeers = 8

// A Meeting is what a draining life has had of introductions to another one.
type Meeting struct {
	Slot  int // of the other
	Life  int // and its number
	Times int
	Lost  bool // since the last; it wants another
}

// settlePeers introduces every life that hands its connections on to those that
// may have them, and that it does not know, up to maxPeers. It follows from what is so,
// like all that settles: from the Ask, from a Ready or Hello that comes later,
// and from a Lost, in whatever order they come.
func (p *Pool) settlePeers() {
	for _, pr := range p.programs {
		for _, s := range pr.slots {
			for _, l := range s.lives {
				if l.hands() {
					p.introduce(pr, l)
				}
			}
		}
	}
}

// introduce goes from the life's own slot down and round. A roll goes up: those
// below have been replaced, and each has about as many that come to it.
func (p *Pool) introduce(pr *program, from *life) {
	peers := p.peers(pr, from)
	for i := range pr.slots {
		if peers >= maxPeers {
			return
		}
		s := pr.slots[(from.id.Slot-i+len(pr.slots))%len(pr.slots)]
		to := s.current()
		if to == nil || !pr.inherits(s, from) || !p.takes(pr, s, to) {
			continue
		}
		m := from.meeting(to.id.Life)
		if m == nil {
			from.met = append(from.met, Meeting{Slot: s.n, Life: to.id.Life, Lost: true})
			m = &from.met[len(from.met)-1]
		}
		if m.Lost {
			m.Lost = false
			m.Times++
			peers++
			p.emit(Introduce{From: from.id, To: to.id})
		}
	}
}

// peers counts those that the life knows and that still take connections.
func (p *Pool) peers(pr *program, from *life) int {
	n := 0
	for _, m := range from.met {
		if m.Lost || m.Slot >= len(pr.slots) {
			continue
		}
		s := pr.slots[m.Slot]
		if to := s.current(); to != nil && to.id.Life == m.Life && p.takes(pr, s, to) {
			n++
		}
	}
	return n
}

// missed takes a life's word that its peer is gone. It is ignored if the peer
// really is, or is on its way: there is nobody to introduce anew.
func (p *Pool) missed(e Lost) bool {
	pr, _, from := p.life(e.ID)
	_, s, to := p.life(e.Peer)
	if from == nil || to == nil || !from.hands() || !p.takes(pr, s, to) {
		return false
	}
	m := from.meeting(to.id.Life)
	if m == nil || m.Lost || m.Times >= maxMeetings {
		return false
	}
	m.Lost = true
	return true
}

func (l *life) meeting(life int) *Meeting {
	i := slices.IndexFunc(l.met, func(m Meeting) bool { return m.Life == life })
	if i < 0 {
		return nil
	}
	return &l.met[i]
}

// hands tells whether the life hands its connections on now. One that was
// signalled before it said Hello does not: it had not served by then.
func (l *life) hands() bool {
	return l.moves && l.state == LifeDraining && l.step == asked && l.reason == ForRoll && !l.drained
}

// inherits tells whether a life in the slot may be handed those of another. Whoever
// came to the address of one slot has chosen that, and what he is told of it,
// by status or by the proxy that balances, must stay true.
func (pr *program) inherits(s *slot, from *life) bool { return !pr.Ports || s.n == from.id.Slot }

// takes tells whether the life may be handed connections.
func (p *Pool) takes(pr *program, s *slot, l *life) bool {
	return l.moves && l.state == LifeReady && p.stays(pr, s, l)
}

// followed tells whether there is somebody a life of the program that is to
// drain can hand its connections to, or will be: one that has not said yet what
// it can is taken for what its sibling is. It may be ready before that, if that
// was seen and not said.
func (p *Pool) followed(pr *program, l *life) bool {
	return l.moves && slices.ContainsFunc(pr.slots, func(s *slot) bool {
		to := s.current()
		return to != nil && to != l && pr.inherits(s, l) && (to.moves || (to.state == LifeStarting || to.state == LifeReady) && !to.channel) && p.stays(pr, s, to)
	})
}

// stays tells whether the slot's newest life is not itself to be asked to end
// soon, as far as that is known: its program, its slot and it itself are wanted,
// and the roll under way has come to its slot, or does not.
func (p *Pool) stays(pr *program, s *slot, l *life) bool {
	switch {
	case p.phase == Stopping || pr.held || pr.goes():
		return false
	case s.stopped || s.n >= pr.wanted || l.worn != "":
		return false
	case !p.underWay(pr):
		return true
	}
	return !slices.ContainsFunc(p.rolls[0].slots, func(it item) bool { return it.slot == s && !it.done && it.next != l })
}
