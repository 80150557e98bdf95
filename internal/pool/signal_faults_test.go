package pool

// faultsOfSignals are those of two-step stops, of lists of signals, and of what
// a life says of itself.
func faultsOfSignals() []fault {
	return []fault{
		{"signals.go", `l.escalate = now.Add(l.stopSteps[l.sent].After)`, `_ = now`, "only the first of a list of signals is sent"},
		{"signals.go", "\tl.sent++\n", "", "the second signal is sent again and again"},
		{"signals.go", `return l.stopSteps[n-1].Signal, l.sent < n`, `return l.stopSignal, l.sent < n`, "who wants no waiting sends the mildest signal"},
		{"signals.go", `return l.stopSteps[n-1].Signal, l.sent < n`, `return l.stopSteps[n-1].Signal, true`, "the last signal is sent twice"},
		{"signals.go", "\t\tif by(s.Signal) {", "\t\tif by(s.Signal) && false {", "a death by the second signal of a list is none by a stop signal"},
		{"signals.go", `l.busy || !l.settled.IsZero()`, `!l.settled.IsZero()`, "work is not waited for"},
		{"signals.go", `l.busy || !l.settled.IsZero()`, `l.busy`, "a worker has no moment to obey its close signal"},
		{"signals.go", "\tp.proceed(now, pr, l)\n", "", "the end of the last operation is not noticed"},
		{"signals.go", "\tcase pr.Gated:\n\t\tl.step = atGate", "\tcase false:\n\t\tl.step = atGate", "the gate of a worker that has closed its listener is not asked"},
		{"signals.go", `case until.After(l.latest):`, `case false:`, "a drain may be as long as its worker likes"},
		{"signals.go", `{&l.deadline, &l.escalate}`, `{&l.deadline}`, "who asks for time gets the next signal all the same"},
		{"signals.go", `{&l.deadline, &l.escalate}`, `{&l.escalate}`, "asking for time changes no deadline"},
		{"signals.go", `!d.IsZero() && until.After(*d)`, `!d.IsZero()`, "who asks for time may get less"},
		{"signals.go", `if l.channel || l.leaving() {`, `if l.leaving() {`, "a worker with a channel that says that it ends is not asked"},
		{"signals.go", `l.step, l.deadline, l.latest = byItself, now.Add(pr.DrainTimeout), `, `l.step, l.deadline, l.latest = byItself, time.Time{}, `, "who ends by itself may take for ever"},
		{"signals.go", `return l.step == notAsked || l.step == byItself`, `return l.step == notAsked`, "who ends by itself counts as no crash"},
		{"life.go", `case pr.CloseSignal && wasReady && !l.exited:`, `case pr.CloseSignal && !l.exited:`, "a worker that is not up yet gets a close signal"},
		{"life.go", `case pr.CloseSignal && wasReady && !l.exited:`, `case false:`, "no close signal"},
		{"life.go", `l.deadline, l.settled = now.Add(pr.DrainTimeout), now.Add(CloseMoment)`, `l.settled = now.Add(CloseMoment)`, "work is waited for for ever"},
		{"life.go", `l.gateShut = pr.Gated
			p.signal(now, pr, l, pr.StopTimeout)`, `p.signal(now, pr, l, pr.DrainTimeout)`, "work that does not end doubles the drain timeout"},
		{"life.go", `max(pr.DrainMax, pr.DrainTimeout))
	switch`, `pr.DrainTimeout)
	switch`, "no drain can be made longer"},
		{"life.go", `	case l.busy:
`, `	case false:
`, "work that was cut is not reported"},
		{"take.go", `case l.step == atGate && l.closeSent && l.busy:`, `case false:`, "work that begins while the gate is asked is cut"},
		{"take.go", `case notAsked, byItself:`, `case notAsked:`, "who ends by itself and leaves others behind has not crashed"},
		{"take.go", `if !l.ownWatch {`, `if true {`, "a worker cannot set its watchdog before it is ready"},
		{"listener.go", ` || l.closeSent }`, ` }`, "who has closed its listener by a signal holds it"},
		{"listener.go", ` || l.step == byItself`, ``, "who ends by itself holds its listener"},
		{"recycle.go", "\tl.silent = time.Time{}\n\tp.unheard", "\tp.unheard", "who says that it hangs is found silent too"},
		{"recycle.go", `if l.state == LifeReady && every > 0 {`, `if every > 0 {`, "a worker is silent before it is ready"},
		{"reload.go", `l.needs, l.stopSignal, l.stopSteps = n.DependsOn, n.StopSignal, n.StopSteps`, `l.needs = n.DependsOn`, "a death by the stop signal of the configuration is none by the stop signal"},
		{"state.go", `closeSent: s.CloseSent, `, ``, "a carried life forgets its close signal"},
		{"state.go", `escalate: s.Escalate, `, ``, "a carried life gets no further signal"},
		{"state.go", `latest: s.Latest, `, ``, "a carried life cannot ask for time"},
		{"state.go", `busy: s.Busy, `, ``, "the work of a carried life is not waited for"},
		{"state.go", `settled: s.Settled, `, ``, "a carried life is asked too soon"},
	}
}
