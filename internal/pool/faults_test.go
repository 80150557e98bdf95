package pool

import "slices"

// faults returns those that TestMutations plants. Each is one slip of the
// hand: a comparison the wrong way round, a deadline dropped, a state
// forgotten, two steps in the wrong order.
func faults() []fault {
	return slices.Concat(faultsOfLives(), faultsOfEvents(), faultsOfSlots(), faultsOfRolls(), faultsOfStops(), faultsOfCommands())
}

func faultsOfLives() []fault {
	return []fault{
		{"life.go", `l.step != notAsked || l.leaving()`, `l.leaving()`, "a life is asked to end again and again"},
		{"life.go", `l.step, l.deadline = asked, now.Add(pr.DrainTimeout)`, `l.step, l.deadline = asked, time.Time{}`, "a drain has no deadline"},
		{"life.go", `case l.channel && !l.exited:`, `case l.channel:`, "a process that has ended is told over its channel"},
		{"life.go", `pr.Gated && wasReady && reason == ForStop && !l.exited`, `pr.Gated && wasReady && !l.exited`, "the gate of a foreign worker is asked on a roll"},
		{"life.go", `pr.Gated && wasReady && reason == ForStop && !l.exited`, `wasReady && false`, "the gate of a foreign worker is never asked"},
		{"life.go", `l.step, l.deadline = atGate, now.Add(pr.DrainTimeout)`, `l.step, l.deadline = atGate, time.Time{}`, "a gate is waited for for ever"},
		{"life.go", `pr.StopCommand && l.step != commanded && !l.exited`, `pr.StopCommand && !l.exited`, "a stop command that failed is run again instead of the signal"},
		{"life.go", `l.step, l.deadline = commanded, now.Add(pr.StopTimeout)`, `l.step, l.deadline = commanded, time.Time{}`, "a stop command is waited for for ever"},
		{"life.go", `l.step, l.deadline = signalled, now.Add(timeout)`, `l.step, l.deadline = signalled, now.Add(timeout/2)`, "half the drain timeout"},
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
		{"take.go", `{ l.channel = true }`, `{}`, "a worker with a channel is signalled"},
		{"take.go", `if l.step != asked || !pr.Gated {`, `if l.step != asked {`, "a gate is asked where there is none"},
		{"take.go", "l.step = asked\n\t\tp.emit(Quit{ID: id})", "l.step = asked", "an open gate lets nobody go"},
		{"take.go", `p.emit(Quit{ID: l.id}) // its deadline has passed: no gate is asked`, ``, "a worker that drained too late is held until it is killed"},
		{"take.go", "l.step = notAsked // its end stays a crash", "", "a worker that leaves its group behind has not crashed"},
		{"take.go", "l.deadline = until // what is left has the time that all were given", "_ = until", "a process that ends gives its group more time"},
		{"take.go", "if l.state == LifeStuck {\n", "if false {\n", "the late end of a stuck life counts as another crash"},
		{"take.go", `case p.phase == Stopping || pr.held:`, `case p.phase == Stopping:`, "what a hard restart ends counts as crashed"},
		{"take.go", `case own && p.phase == Starting && !pr.started:`, `case false:`, "a program that does not start is tried again"},
		{"take.go", `case own && s.n < pr.wanted && !s.stopped && s.current() == nil:`, `case own && s.n < pr.wanted && s.current() == nil:`, "a slot that the operator has stopped counts crashes"},
		{"take.go", `case own && s.n < pr.wanted && !s.stopped && s.current() == nil:`, `case own && s.n < pr.wanted && !s.stopped:`, "an old life that dies during a roll makes its slot wait"},
		{"take.go", `if pr.lost() {`, `if false {`, "a program without workers goes on"},
		{"take.go", `l.state = quiet`, `l.state = open`, "a quiet listener is taken for open"},
	}
}

func faultsOfSlots() []fault {
	return []fault{
		{"pool.go", `visit(&s.retry)`, ``, "nobody wakes a slot that waits"},
		{"pool.go", `visit(&l.deadline)`, ``, "nobody wakes for the deadline of a life"},
		{"pool.go", `!now.Before(s.retry)`, `now.After(s.retry)`, "a backoff ends after its deadline"},
		{"pool.go", `!now.Before(l.deadline)`, `now.After(l.deadline)`, "a deadline is kept one tick late"},
		{"pool.go", `&& !p.rolling(pr, s)`, ``, "a slot starts lives of its own during a roll"},
		{"pool.go", `s.vacant() && s.n < pr.wanted`, `s.vacant()`, "slots above the number of workers come back"},
		{"pool.go", `!need.started || !need.serves()`, `!need.started`, "a program starts while its helper is away"},
		{"pool.go", `!need.started || !need.serves()`, `!need.serves()`, "a program starts when the first worker of its helper is up"},
		{"pool.go", `p.reply(c, p.ending)`, `_ = c`, "stop gets no reply"},
		{"slot.go", `&& !s.failed && !s.stopped && s.retry.IsZero()`, `&& !s.failed && !s.stopped`, "no slot waits for its backoff"},
		{"slot.go", `&& !s.failed && !s.stopped && s.retry.IsZero()`, `&& !s.failed && s.retry.IsZero()`, "what the operator stopped comes back"},
		{"slot.go", `&& !s.failed && !s.stopped && s.retry.IsZero()`, `&& !s.stopped && s.retry.IsZero()`, "what has failed comes back"},
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
		{"roll.go", `r.starting() >= max(1, r.program.MaxSurge)`, `r.starting() > max(1, r.program.MaxSurge)`, "one more than max_surge"},
		{"roll.go", `if r.draining() == 0 {`, `if true {`, "with max_surge 0 all workers end at once"},
		{"roll.go", "r.program.generation = r.to\n", "", "a program stays on the generation that failed"},
		{"roll.go", "it.slot.generation = it.from\n", "", "a slot stays on the generation that failed"},
		{"roll.go", "it.done = true\n\ts.generation = it.to\n", "it.done = true\n", "a slot that was replaced restarts on the old generation"},
		{"roll.go", `!it.done || it.slot.leaving()`, `!it.done`, "the verdict on a roll does not wait for the old lives"},
		{"roll.go", "if r.back {\n", "if false {\n", "going back goes back again"},
		{"roll.go", "c.rolls--\n", "", "restart gets no reply"},
		{"roll.go", `!r.began && r.program == pr`, `r.program == pr`, "a restart during a roll is taken for done with it"},
		{"roll.go", `return !s.busy() //`, `return true //`, "with max_surge 0 the new life starts beside the old one"},
	}
}

func faultsOfStops() []fault {
	return []fault{
		{"stop.go", `p.hurry = p.hurry || e.Now`, ``, "stop --now waits like any stop"},
		{"stop.go", `s.n != c.slot && s.current() != nil`, `s.n != c.slot`, "the last worker of a helper is stopped before its users"},
		{"stop.go", "\tp.phase = Stopping\n", "", "a stop does not begin"},
		{"stop.go", "if slices.ContainsFunc(pr.dependants, func(d *program) bool { return !d.down() }) {\n\t\t\tcontinue\n\t\t}\n\t\tpr.ending", "pr.ending", "helpers stop with their users"},
		{"stop.go", `if !p.quiesce(pr) && !p.hurry {`, `if !p.quiesce(pr) {`, "stop --now waits for queues"},
		{"stop.go", `if !p.quiesce(pr) && !p.hurry {`, `if p.quiesce(pr); false {`, "workers are asked before their queue is empty"},
		{"stop.go", `if p.hurry && len(pr.dependants) == 0 {`, `if p.hurry {`, "stop --now cuts redis, which may have data to save"},
		{"stop.go", `pr.held, pr.started = false, false`, `pr.held = false`, "after a hard restart dependants do not wait for their helper"},
		{"stop.go", `p.hold(c, d)`, `_ = d`, "a hard restart leaves dependants of dependants up"},
		{"stop.go", `if p.listener(name).state == open {`, `if p.listener(name).state != open {`, "a stop drains as for a roll"},
		{"listener.go", `l.state == open && l.unused()`, `l.state == open`, "a listener is quiesced while another program uses it"},
		{"listener.go", `return quiesced || !pr.serves()`, `return quiesced`, "a queue that nobody accepts from is waited for"},
		{"listener.go", `&& l.released()`, ``, "a listener is closed while workers hold it"},
		{"listener.go", `return l.drained || slices.Contains(l.closed, listener)`, `return l.drained || slices.Contains(l.closed, "")`, "a listener stays open until the drain has ended"},
		{"listener.go", `life.step == signalled && (!life.channel || life.exited)`, `life.step == signalled`, "a worker that says when it has closed is not waited for"},
	}
}

func faultsOfCommands() []fault {
	return []fault{
		{"command.go", `if n >= c.program.wanted || n < -1 {`, `if n > c.program.wanted || n < -1 {`, "a worker that does not exist is named"},
		{"command.go", `return c == nil || p.phase == Stopping`, `return c == nil`, "a command that was refused is carried out"},
		{"command.go", `s.stopped, s.failed, s.retry, s.crashes = false, false,`, `s.stopped, s.retry, s.crashes = false,`, "start does not end a failure"},
		{"command.go", `len(pr.Listeners) > 0 && pr.MaxSurge > 0`, `len(pr.Listeners) > 0 || pr.MaxSurge > 0`, "a helper is rolled under its users"},
		{"command.go", `pr.wanted = e.Workers`, `pr.wanted = max(pr.wanted, e.Workers)`, "scaling down does nothing"},
		{"command.go", "if p.phase == Stopping {\n\t\tp.ending.worsen(v)", "if p.phase == Stopping {", "what dies during the stop is not in the verdict"},
		{"command.go", `c.kind != cmdStop && p.stranded(c)`, `false && p.stranded(c)`, "a command waits for what the operator has stopped"},
		{"command.go", `return c.rolls == 0`, `return true`, "restart is answered at once"},
		{"command.go", `return !s.leaving() })`, `return true })`, "stop is answered at once"},
		{"command.go", `(pr.held || !c.settled(pr))`, `pr.held`, "a hard restart is answered before all is up"},
		{"command.go", `c.covers(pr, s) && c.kind != cmdRoll {`, `false {`, "the verdict on stop knows of no death"},
		{"verdict.go", `if w.Outcome > v.Outcome {`, `if w.Outcome < v.Outcome {`, "the best of two verdicts is told"},
	}
}
