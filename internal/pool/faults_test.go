package pool

import "slices"

// faults returns those that TestMutations plants. Each is one slip of the
// hand: a comparison the wrong way round, a deadline dropped, a state
// forgotten, two steps in the wrong order.
func faults() []fault {
	return slices.Concat(faultsOfLives(), faultsOfEvents(), faultsOfSlots(), faultsOfRolls(), faultsOfStops(), faultsOfCommands(),
		faultsOfPolicies(), faultsOfRecycling(), faultsOfReloads(), faultsOfState(), faultsOfIntroductions(), faultsOfSignals())
}

func faultsOfLives() []fault {
	return []fault{
		{"life.go", `l.step != notAsked || l.leaving()`, `l.leaving()`, "a life is asked to end again and again"},
		{"life.go", `l.step, l.hold, l.deadline = asked, pr.Gated, now.Add(pr.DrainTimeout)`, `l.step, l.hold, l.deadline = asked, pr.Gated, time.Time{}`, "a drain has no deadline"},
		{"life.go", `case l.channel && !l.exited:`, `case l.channel:`, "a process that has ended is told over its channel"},
		{"life.go", `pr.Gated && wasReady && reason == ForStop && !l.exited`, `pr.Gated && wasReady && !l.exited`, "the gate of a foreign worker is asked on a roll"},
		{"life.go", `pr.Gated && wasReady && reason == ForStop && !l.exited`, `wasReady && false`, "the gate of a foreign worker is never asked"},
		{"life.go", `l.step, l.deadline = atGate, now.Add(pr.DrainTimeout)`, `l.step, l.deadline = atGate, time.Time{}`, "a gate is waited for for ever"},
		{"life.go", `pr.StopCommand && l.step != commanded && !l.exited`, `pr.StopCommand && !l.exited`, "a stop command that failed is run again instead of the signal"},
		{"life.go", `l.step, l.deadline = commanded, now.Add(pr.StopTimeout)`, `l.step, l.deadline = commanded, time.Time{}`, "a stop command is waited for for ever"},
		{"life.go", `l.step, l.deadline, l.sent = signalled, now.Add(timeout), 0`, `l.step, l.deadline, l.sent = signalled, now.Add(timeout/2), 0`, "half the drain timeout"},
		{"life.go", "l.gateShut = true\n\t\t\tp.signal(now, pr, l, pr.StopTimeout)", "l.gateShut = true\n\t\t\tp.signal(now, pr, l, pr.DrainTimeout)", "a gate that stays shut doubles the drain timeout"},
		{"life.go", "p.emit(Quit{ID: l.id})\n\t\t\tp.cutting", "p.cutting", "a worker whose gate stays shut is killed and not let go"},
		{"life.go", `now.Add(pr.UnwindTimeout + KillMargin)`, `now.Add(pr.UnwindTimeout)`, "no margin between a cut and the kill"},
		{"life.go", `l.killed, l.why, l.deadline = true, why, now.Add(stuckAfter)`, `l.killed, l.why, l.deadline = true, why, time.Time{}`, "a life that cannot be killed is waited for for ever"},
		{"life.go", `p.emit(Kill{ID: l.id})`, ``, "nothing is killed"},
		{"life.go", "case l.step == held:\n\t\tl.deadline = now\n", "case l.step == held:\n", "stop --now waits for the gates of Go workers"},
		{"life.go", "p.emit(Cut{ID: l.id})\n", "", "stop --now does not tell the worker to cut"},
		{"life.go", `v.Outcome, v.Text = Died, fmt.Sprintf("%s was killed: %s"`, `v.Outcome, v.Text = WasCut, fmt.Sprintf("%s was killed: %s"`, "a kill is reported as a cut"},
		{"life.go", `case l.cut > 0:`, `case l.cut > 1:`, "one operation that was cut is not reported"},
		{"life.go", `clean := l.drained || e == Exit{}`, `clean := e == Exit{}`, "the exit status of a worker that drained counts"},
		{"life.go", `case LifeCutting:
		return []State{LifeStuck, LifeGone}`, `case LifeCutting:
		return []State{LifeGone}`, "a state may not follow that does"},
	}
}

func faultsOfEvents() []fault {
	return []fault{
		{"take.go", `l == nil || l.state != LifeStarting`, `l == nil`, "a worker is ready twice"},
		{"take.go", `l.deadline, l.served = time.Time{}, true`, `l.served = true`, "a ready worker keeps the deadline of its start"},
		{"take.go", `l.channel = true`, `_ = l.id`, "a worker with a channel is signalled"},
		{"take.go", `if l.step != asked || !l.hold {`, `if l.step != asked {`, "a gate is asked where there is none"},
		{"take.go", "l.step = asked\n\t\tp.emit(Quit{ID: id})", "l.step = asked", "an open gate lets nobody go"},
		{"take.go", `p.emit(Quit{ID: l.id}) // its deadline has passed, or a reload has done away with the gate`, ``, "a worker that drained too late is held until it is killed"},
		{"take.go", "l.step = by // its end stays a crash", "", "a worker that leaves its group behind has not crashed"},
		{"take.go", "l.deadline = until // what is left has the time that all were given", "_ = until", "a process that ends gives its group more time"},
		{"take.go", "if l.state == LifeStuck {\n", "if false {\n", "the late end of a stuck life counts as another crash"},
		{"take.go", `case p.phase == Stopping || pr.held || pr.goes():`, `case p.phase == Stopping || pr.goes():`, "what a hard restart ends counts as crashed"},
		{"take.go", `case own && p.phase == Starting && !pr.started && !pr.finished(l):`, `case false:`, "a program that does not start is tried again"},
		{"take.go", `case own && s.n < pr.wanted && !s.stopped && s.current() == nil:`, `case own && s.n < pr.wanted && s.current() == nil:`, "a slot that the operator has stopped counts crashes"},
		{"take.go", `case own && s.n < pr.wanted && !s.stopped && s.current() == nil:`, `case own && s.n < pr.wanted && !s.stopped:`, "an old life that dies during a roll makes its slot wait"},
		{"take.go", `case failed || len(pr.dependants) > 0:`, `case failed && false:`, "a program without workers goes on"},
		{"take.go", `l.state = quiet`, `l.state = open`, "a quiet listener is taken for open"},
	}
}

func faultsOfSlots() []fault {
	return []fault{
		{"pool.go", `visit(&s.retry)`, ``, "nobody wakes a slot that waits"},
		{"pool.go", `{&l.deadline, &l.proven, &l.retire, &l.silent, &l.settled, &l.escalate}`, `{&l.proven, &l.retire, &l.silent, &l.settled, &l.escalate}`, "nobody wakes for the deadline of a life"},
		{"pool.go", `d.IsZero() || now.Before(*d)`, `d.IsZero() || !now.After(*d)`, "a deadline is kept one tick late"},
		{"pool.go", `&& !p.rolling(pr, s)`, ``, "a slot starts lives of its own during a roll"},
		{"pool.go", `s.vacant() && s.n < pr.wanted`, `s.vacant()`, "slots above the number of workers come back"},
		{"pool.go", `!need.started || !need.serves()`, `!need.started`, "a program starts while its helper is away"},
		{"pool.go", `!need.started || !need.serves()`, `!need.serves()`, "a program starts when the first worker of its helper is up"},
		{"pool.go", `p.reply(c, p.ending)`, `_ = c`, "stop gets no reply"},
		{"slot.go", `&& !s.failed && !s.ended && !s.stopped && s.retry.IsZero()`, `&& !s.failed && !s.ended && !s.stopped`, "no slot waits for its backoff"},
		{"slot.go", `&& !s.failed && !s.ended && !s.stopped && s.retry.IsZero()`, `&& !s.failed && !s.ended && s.retry.IsZero()`, "what the operator stopped comes back"},
		{"slot.go", `&& !s.failed && !s.ended && !s.stopped && s.retry.IsZero()`, `&& !s.ended && !s.stopped && s.retry.IsZero()`, "what has failed comes back"},
		{"slot.go", `if n > pr.MaxRestarts {`, `if n >= pr.MaxRestarts {`, "one restart less than allowed"},
		{"slot.go", `s.retry = now.Add(delay)`, `s.retry = now`, "no backoff"},
		{"slot.go", `firstDelay<<(n-2)`, `firstDelay<<(n-1)`, "twice the backoff"},
		{"slot.go", `now.Sub(t) >= pr.RestartWindow`, `false`, "crashes are never forgotten"},
		{"slot.go", `deadline: now.Add(pr.ReadyTimeout),`, ``, "a worker may take for ever to become ready"},
		{"slot.go", `p.lives++`, `p.lives = 1`, "numbers of lives are used again"},
		{"slot.go", "func (s *slot) busy() bool {\n\treturn slices", "func (s *slot) busy() bool {\n\treturn len(s.lives) > 0 || slices", "a stuck life holds its slot, and the stop"},
	}
}

func faultsOfRolls() []fault {
	return []fault{
		{"roll.go", `it.next == nil || it.next.state != LifeReady ||`, `it.next == nil ||`, "the old life is asked before the new one is ready"},
		{"roll.go", `|| r.draining() >= pr.maxDraining()`, ``, "max_draining is not kept"},
		{"roll.go", "it.next = p.start(now, pr, it.slot, it.to)\n\t\t\tstarting++", "it.next = p.start(now, pr, it.slot, it.to)", "a roll starts all at once"},
		{"roll.go", `if !pr.mayStart() {`, `if false {`, "a new life starts before what it needs serves"},
		{"roll.go", `starting >= max(1, pr.MaxSurge)`, `starting > max(1, pr.MaxSurge)`, "one more than max_surge"},
		{"roll.go", `case draining == 0:`, `case true:`, "with max_surge 0 all workers end at once"},
		{"roll.go", `pr.generation, pr.Program = r.undo.generation, r.undo.program`, `pr.Program = r.undo.program`, "a program stays on the generation that failed"},
		{"roll.go", "it.slot.generation = it.from\n", "", "a slot stays on the generation that failed"},
		{"roll.go", "it.done = true\n\ts.generation = it.to\n", "it.done = true\n", "a slot that was replaced restarts on the old generation"},
		{"roll.go", `!it.done || it.slot.leaving()`, `!it.done`, "the verdict on a roll does not wait for the old lives"},
		{"roll.go", "if r.back {\n", "if false {\n", "going back goes back again"},
		{"roll.go", "c.verdict.worsen(r.verdict)\n\t\tc.rolls--\n", "c.verdict.worsen(r.verdict)\n", "restart gets no reply"},
		{"roll.go", `!r.began && r.program == pr`, `r.program == pr`, "a restart during a roll is taken for done with it"},
		{"roll.go", `return r.began || !pr.held && !waits`, `return true || waits`, "what is not up is rolled, and goes back to what never was up"},
		{"roll.go", `case old == nil && it.slot.busy(): //`, `case false: //`, "with max_surge 0 the new life starts beside the old one"},
	}
}

func faultsOfStops() []fault {
	return []fault{
		{"lameduck.go", `pr.LameDuck == 0 || pr.lameOver`, `true`, "no lame duck"},
		{"lameduck.go", `!now.Before(pr.lameUntil) || p.hurry`, `!now.Before(pr.lameUntil)`, "who wants no waiting waits for the lame duck"},
		{"lameduck.go", `if l.channel && !l.lame {`, `if l.channel {`, "a lame duck is told again and again"},
		{"lameduck.go", `if l.channel && !l.lame {`, `if false {`, "a lame duck does not know it"},
		{"lameduck.go", `quiet = quiet && l.quiet`, `quiet = quiet && false`, "a lame duck that is quiet goes on"},
		{"lameduck.go", `quiet = quiet && l.quiet`, `quiet = l.quiet`, "the last lame duck decides for all"},
		{"lameduck.go", `pr.lameUntil = now.Add(pr.LameDuck)`, ``, "a lame duck never ends"},
		{"lameduck.go", `pr.lameOver, pr.lameUntil = true, time.Time{}`, `pr.lameUntil = time.Time{}; return false`, "a lame duck begins again"},
		{"take.go", `l.quiet = l.lame`, `l.quiet = true`, "who is quiet before it is a lame duck is no lame duck"},
		{"life.go", `l.reason == ForRoll && reason == ForStop && !l.drained && !l.exited`, `false`, "who drains for a roll does not hear of the stop"},
		{"life.go", `Timeout: l.deadline.Sub(now), Hold: l.hold})`, `Timeout: pr.DrainTimeout, Hold: l.hold})`, "a stop in a roll gives a drain its time again"},
		{"stop.go", `p.hurry = p.hurry || e.Now`, ``, "stop --now waits like any stop"},
		{"stop.go", `s.n != c.slot && s.current() != nil`, `s.n != c.slot`, "the last worker of a helper is stopped before its users"},
		{"stop.go", "\tp.phase = Stopping\n", "", "a stop does not begin"},
		{"stop.go", "if slices.ContainsFunc(pr.dependants, func(d *program) bool { return !d.down() }) {\n\t\t\tcontinue\n\t\t}\n\t\tif p.lameDuck", "if p.lameDuck", "helpers stop with their users"},
		{"stop.go", `if !p.quiesce(pr) && !p.hurry {`, `if !p.quiesce(pr) {`, "stop --now waits for queues"},
		{"stop.go", `if !p.quiesce(pr) && !p.hurry {`, `if p.quiesce(pr); false {`, "workers are asked before their queue is empty"},
		{"stop.go", `if p.hurry && len(pr.dependants) == 0 {`, `if p.hurry {`, "stop --now cuts redis, which may have data to save"},
		{"stop.go", `pr.held, pr.started = false, false`, `pr.held = false`, "after a hard restart dependants do not wait for their helper"},
		{"stop.go", `p.hold(c, d)`, `_ = d`, "a hard restart leaves dependants of dependants up"},
		{"stop.go", `if p.listener(name).state == open {`, `if p.listener(name).state != open {`, "a stop drains as for a roll"},
		{"listener.go", `l.state == open && p.unused(l)`, `l.state == open`, "a listener is quiesced while another program uses it"},
		{"listener.go", `return quiesced || !pr.serves()`, `return quiesced`, "a queue that nobody accepts from is waited for"},
		{"listener.go", `&& p.released(l)`, ``, "a listener is closed while workers hold it"},
		{"listener.go", `return l.drained || slices.Contains(l.closed, listener)`, `return l.drained || slices.Contains(l.closed, "")`, "a listener stays open until the drain has ended"},
		{"listener.go", `life.hasLeft() && (!life.channel || life.exited)`, `life.hasLeft()`, "a worker that says when it has closed is not waited for"},
	}
}

func faultsOfCommands() []fault {
	return []fault{
		{"command.go", `if n >= c.program.wanted || n < -1 {`, `if n > c.program.wanted || n < -1 {`, "a worker that does not exist is named"},
		{"command.go", `return c == nil || p.phase == Stopping`, `return c == nil`, "a command that was refused is carried out"},
		{"command.go", `s.stopped, s.failed, s.ended, s.retry, s.crashes = false, false, false,`, `s.stopped, s.ended, s.retry, s.crashes = false, false,`, "start does not end a failure"},
		{"command.go", `len(c.Listeners) == 0 || c.MaxSurge == 0`, `len(c.Listeners) == 0 && c.MaxSurge == 0`, "a helper is rolled under its users"},
		{"command.go", `pr.wanted = workers`, `pr.wanted = max(pr.wanted, workers)`, "scaling down does nothing"},
		{"command.go", "if p.phase == Stopping {\n\t\tp.ending.worsen(v)", "if p.phase == Stopping {", "what dies during the stop is not in the verdict"},
		{"command.go", `c.kind != cmdStop && p.stranded(c)`, `false && p.stranded(c)`, "a command waits for what the operator has stopped"},
		{"command.go", "case cmdRoll:\n\t\treturn c.rolls == 0", "case cmdRoll:\n\t\treturn true", "restart is answered at once"},
		{"command.go", `return !s.leaving() })`, `return true })`, "stop is answered at once"},
		{"command.go", `(pr.held || !c.settled(pr))`, `pr.held`, "a hard restart is answered before all is up"},
		{"command.go", `if c.answersFor(pr, s) {`, `if false {`, "the verdict on stop knows of no death"},
		{"verdict.go", `if w.Outcome > v.Outcome {`, `if w.Outcome < v.Outcome {`, "the best of two verdicts is told"},
	}
}

func faultsOfPolicies() []fault {
	return []fault{
		{"life.go", `case l.exit.Code == DoNotRestart && !l.drained:`, `case false:`, "status 125 is followed by another life"},
		{"life.go", "case pr.Restart == Never:\n\t\treturn well, !well", "case pr.Restart == Never:\n\t\treturn well, false", "never: a life that failed is followed by another"},
		{"life.go", "case pr.Restart == OnFailure:\n\t\treturn well, false", "case pr.Restart == OnFailure:\n\t\treturn true, false", "on-failure: a life that failed is taken for done"},
		{"slot.go", `&& !s.failed && !s.ended && !s.stopped && s.retry.IsZero()`, `&& !s.failed && !s.stopped && s.retry.IsZero()`, "what has ended comes back"},
		{"slot.go", `s.ended, s.failed = done, failed`, `s.ended = done`, "a slot that failed by policy comes back"},
		{"command.go", `s.stopped, s.failed, s.ended, s.retry, s.crashes = false, false, false,`, `s.stopped, s.failed, s.retry, s.crashes = false, false,`, "start does not bring back what has ended"},
		{"take.go", `if pr.MinUptime > 0 {`, `if false {`, "no minimum uptime"},
		{"roll.go", `|| !it.next.proven.IsZero() ||`, `||`, "an old life is asked before the new one is proven"},
	}
}

func faultsOfRecycling() []fault {
	return []fault{
		{"recycle.go", `if pr.removed || pr.inUse() != nil {`, `if pr.removed {`, "what others depend on is replaced under them"},
		{"recycle.go", `r.only == l.id })`, `r.only == ID{} })`, "a life is to be replaced twice"},
		{"recycle.go", `l.silent, l.hung = now.Add(l.watch), false`, `l.hung = false`, "a sign of life does not count"},
		{"recycle.go", `l.silent, l.hung = now.Add(l.watch), false`, `l.silent = now.Add(l.watch)`, "a life that recovers is aborted"},
		{"recycle.go", "l.hung = true\n", "", "a life that hangs is asked"},
		{"recycle.go", `l.worn, l.retire = why, time.Time{}`, `l.worn = why`, "an age comes again"},
		{"take.go", `l.watch = pr.Watchdog // a roll may change it for those to come`, ``, "no watchdog watches"},
		{"take.go", `l.retire = now.Add(pr.MaxAge)`, `l.retire = now.Add(pr.MaxAge / 2)`, "half the age"},
		{"life.go", "l.deadline = now.Add(pr.StopTimeout)\n\tp.emit(Abort{", "l.deadline = now.Add(pr.StopTimeout / 2)\n\tp.emit(Abort{", "an aborted life is killed early"},
		{"life.go", "l.deadline = now.Add(pr.StopTimeout)\n\tp.emit(Abort{", "l.deadline = time.Time{}\n\tp.emit(Abort{", "an aborted life that hangs on is never killed"},
		{"roll.go", `l == nil || l.id != r.only`, `l == nil`, "a successor is replaced in the place of its predecessor"},
		{"life.go", `l.proven, l.retire, l.silent = time.Time{}, time.Time{}, time.Time{}`, `l.proven, l.retire = time.Time{}, time.Time{}`, "a life that drains is aborted"},
	}
}

func faultsOfReloads() []fault {
	return []fault{
		{"reload.go", `roll = roll || pr.next != nil || pr.behind`, `roll = roll || pr.behind`, "what waits for its roll holds before it"},
		{"reload.go", `roll = roll || pr.next != nil || pr.behind`, `roll = roll || pr.next != nil`, "what was rolled back holds without a roll"},
		{"reload.go", `pr.added && !pr.started && !pr.serves()`, `false`, "what was never up is not corrected before it is"},
		{"reload.go", `pr.next, pr.Workers = &n, n.Workers`, `pr.Workers = n.Workers`, "a reload rolls to what there was"},
		{"reload.go", `(leaving || roll) && pr.down() && !p.underWay(pr),`, `false,`, "what has no lives waits for a roll"},
		{"reload.go", `slices.Contains(d.needs, pr) && !d.goes()`, `false`, "what a program needs again is taken from it"},
		{"reload.go", `if !pr.goes() || slices.ContainsFunc(pr.dependants, func(d *program) bool { return !d.down() }) {`, `if !pr.goes() {`, "what is removed ends under its users"},
		{"reload.go", "		p.rolls[0].undo.program, *pr.before = n, n\n", "		_ = n\n", "a setting is lost when a restart fails"},
		{"reload.go", `p.emit(Removed{Program: pr.Name})`, ``, "nobody is told that a program is gone"},
		{"roll.go", `pr.generation, pr.Program = r.undo.generation, r.undo.program`, `pr.generation = r.undo.generation`, "the settings that failed stay"},
		{"roll.go", `r.undo, pr.before = &version{pr.generation, before}, &before`, `r.undo = &version{pr.generation, before}`, "what the old lives need ends during the roll"},
		{"relation.go", `{pr.before, pr.next}`, `{pr.before}`, "the listener of a roll to come is closed"},
		{"roll.go", `if !r.back && !r.rollback {
			r.program.remember(*r.undo)`, `if false {
			r.program.remember(*r.undo)`, "there is nothing to roll back to"},
		{"listener.go", `&& len(l.users) == 0 && !p.held(l)`, `&& len(l.users) == 0`, "a listener is closed under who serves on"},
		{"listener.go", `&& len(l.users) == 0 && !p.held(l)`, `&& false`, "a listener that is not configured any more stays"},
		{"listener.go", `!(p.phase == Stopping && pr.down())`, `!pr.down()`, "a listener is closed while its program waits"},
		{"take.go", `if l.state == LifeDraining && pr.Gated {`, `if l.state == LifeDraining && !pr.Gated {`, "no gate is asked"},
		{"take.go", `if l.step != asked || !l.hold {`, `if l.step != asked || !pr.Gated {`, "who holds when its gate is taken away is held for ever"},
		{"command.go", `(r.program == pr || p.underWay(pr))`, `(r.program == pr)`, "a command waits behind a roll that cannot go on"},
		{"reload.go", `p.closing(pr) || pr.started &&`, `pr.started &&`, "a roll goes back to workers that take no newcomers"},
		{"reload.go", `pr.added = pr.added || leaving`, ``, "what comes back and does not come up ends all"},
		{"reload.go", "\tp.endSurge(now, pr)\n", "", "the new life of a roll that a reload has ended stays beside the old one"},
		{"reload.go", "\t\tp.holdAtOnce(pr, n)\n", "", "a life does not need what the configuration says now"},
		{"relation.go", `p.precede(pr, l.needs)`, `_ = l.needs`, "what the old lives of a program that is removed in a roll need ends under them"},
		{"take.go", `if !slices.Equal(l.needs, pr.DependsOn) {`, `if false {`, "what nobody needs any more is waited for"},
		{"relation.go", `&& pr.circles(ahead) }`, `&& false && pr.circles(ahead) }`, "a dependency that is turned round panics"},
		{"relation.go", `return pr.next != nil || pr.behind || pr.removed`, `return false`, "what the configuration says gives way to what it does not say any more"},
		{"pool.go", `&& (over || pr.serves())`, `&& (over || true)`, "what was stopped before it was up is up"},
		{"command.go", `pr.started = pr.started && !pr.added // it has yet to come up`, ``, "what has failed and is started by hand is never up"},
		{"command.go", `return slices.Contains(c.added, pr) || pr.removed || s.n >= pr.wanted`, `return true`, "a reload answers for what it has not touched"},
		{"command.go", `return slices.Contains(c.added, pr) || pr.removed || s.n >= pr.wanted`, `return false`, "a reload does not answer for what it ends"},
		{"roll.go", `		case c.kind == cmdReload:
			c.rolls--`, `		case false:
			c.rolls--`, "one roll that is refused takes the others of a reload with it"},
		{"command.go", `c.program == nil || c.program.goes() && k != cmdStop`, `c.program == nil`, "what is removed is restarted"},
	}
}

func faultsOfState() []fault {
	return []fault{
		{"state.go", `watch: s.Watch, `, ``, "a carried life is not watched"},
		{"state.go", `hold: s.Hold,`, ``, "a carried life is held for ever"},
		{"state.go", `same: s.Same, `, ``, "a carried roll loses a setting"},
		{"state.go", `behind: s.Behind,`, ``, "a carried program forgets that it was rolled back"},
		{"state.go", `listens: s.Listens, `, ``, "a carried listener is closed early"},
		{"state.go", `retire: s.Retire, `, ``, "a carried life does not age"},
		{"state.go", `ended: ss.Ended, `, ``, "what has ended comes back"},
	}
}

func faultsOfIntroductions() []fault {
	return []fault{
		{"introduce.go", `if peers >= maxPeers {`, `if false {`, "everybody is introduced to everybody"},
		{"command.go", `most > 0 && e.Workers > most`, `false`, "slots are made for which there are no ports"},
		{"command.go", `(len(pr.Listeners) > 0 || pr.Ports)`, `len(pr.Listeners) > 0`, "a bare restart leaves out who binds by himself"},
		{"introduce.go", `return !pr.Ports || s.n == from.id.Slot`, `return true`, "connections leave the port they came to"},
		{"introduce.go", `if m.Lost {`, `if true {`, "two lives are introduced again and again"},
		{"introduce.go", `|| m.Times >= maxMeetings`, ``, "a peer without descriptors is introduced for ever"},
		{"introduce.go", "	m.Lost = true\n", "", "a peer that was lost is lost for good"},
		{"introduce.go", `l.step == asked && l.reason == ForRoll`, `l.step == asked`, "connections are handed on by a life that drains for a stop"},
		{"introduce.go", `l.step == asked && l.reason == ForRoll`, `l.reason == ForRoll`, "a life is introduced that was not told to drain"},
		{"introduce.go", `l.reason == ForRoll && !l.drained`, `l.reason == ForRoll`, "a life that has drained is introduced"},
		{"introduce.go", `return l.moves && l.state == LifeDraining`, `return l.state == LifeDraining`, "a life that cannot move is introduced"},
		{"introduce.go", `return l.moves && l.state == LifeReady`, `return l.moves`, "a life is handed connections before it serves"},
		{"introduce.go", `return l.moves && l.state == LifeReady`, `return l.state == LifeReady`, "a life that cannot take connections is handed some"},
		{"introduce.go", `return l.moves && slices.`, `return slices.`, "a life that cannot move waits for peers"},
		{"introduce.go", `p.phase == Stopping || pr.held || pr.goes()`, `p.phase == Stopping || pr.goes()`, "before a hard restart connections go to who ends next"},
		{"introduce.go", `p.phase == Stopping || pr.held || pr.goes()`, `p.phase == Stopping || pr.held`, "of what is removed connections go to who ends next"},
		{"introduce.go", `s.stopped || s.n >= pr.wanted || l.worn != ""`, `s.n >= pr.wanted || l.worn != ""`, "a program that is stopped hands its connections round"},
		{"introduce.go", `s.stopped || s.n >= pr.wanted || l.worn != ""`, `s.stopped || l.worn != ""`, "scaled down, connections go to who ends next"},
		{"introduce.go", `s.stopped || s.n >= pr.wanted || l.worn != ""`, `s.stopped || s.n >= pr.wanted`, "connections go to a life that is worn"},
		{"introduce.go", `it.slot == s && !it.done && it.next != l`, `false`, "connections go to a life that the roll has not reached"},
		{"introduce.go", `it.slot == s && !it.done && it.next != l`, `it.slot == s && !it.done`, "successors that wait for their turn get no connections"},
		{"life.go", `Move: reason == ForRoll && p.followed(pr, l)`, `Move: reason == ForRoll && l.moves`, "a drain waits for peers that do not come"},
		{"roll.go", "failed, old = append(failed, it.next), it.slot.other(it.next)", "failed, old = append(failed, it.next), it.slot.current()", "a roll that fails forgets who served before"},
		{"state.go", `moves: s.Moves, `, ``, "a carried life moves no more"},
		{"state.go", `met: s.Met, `, ``, "a carried life is introduced twice"},
	}
}
