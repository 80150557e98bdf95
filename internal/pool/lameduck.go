package pool

import "time"

// lameDuck has a program serve on before its listeners are quiesced for good, for
// its time or until no more requests come to any of its lives, and tells whether
// it still does. Its lives that can be told are told so, those too that become
// ready meanwhile. Who wants no waiting gets none.
func (p *Pool) lameDuck(now time.Time, pr *program) bool {
	if pr.LameDuck == 0 || pr.lameOver {
		return false
	}
	if pr.lameUntil.IsZero() {
		pr.lameUntil = now.Add(pr.LameDuck)
	}
	over := !now.Before(pr.lameUntil) || p.hurry
	quiet := true
	for _, s := range pr.slots {
		for _, l := range s.lives { // two of a slot may serve, in the middle of a roll
			if l.state != LifeReady || over {
				continue
			}
			if l.channel && !l.lame {
				l.lame = true
				p.emit(Lame{ID: l.id})
			}
			quiet = quiet && l.quiet
		}
	}
	if over || quiet {
		pr.lameOver, pr.lameUntil = true, time.Time{}
	}
	return !pr.lameOver
}
