package pool

import "time"

// An Action is one thing the shell is to do. Actions are carried out in order
// and none of them waits: what comes of them returns as an Event.
type Action interface{ action() }

// Reason says why a life is asked to drain.
type Reason string

// The reasons of a drain.
const (
	ForStop Reason = "stop" // its listeners are closed for good
	ForRoll Reason = "roll" // others go on accepting from its listeners
)

// Actions on processes.
type (
	// Spawn starts a process. It is answered by Gone at the latest.
	Spawn struct {
		ID         ID
		Generation int
		Workers    int // how many there are to be
	}
	// Ask tells a life over its channel to drain within Timeout; with Hold it
	// reports and waits for Quit; with Move it keeps its idle connections for
	// the peers that it is introduced to.
	Ask struct {
		ID      ID
		Reason  Reason
		Timeout time.Duration
		Hold    bool
		Move    bool
	}
	// Introduce gives two lives the two ends of a socket pair: From, which
	// drains, hands its connections over it to To, which serves. It is answered
	// by nothing; From falls back on what it does without.
	Introduce struct{ From, To ID }
	// AskGate starts to ask whether a life may end, until GateOpen or until
	// the next action on that life.
	AskGate struct{ ID ID }
	// RunStopCommand runs the program's stop command.
	RunStopCommand struct{ ID ID }
	// Close sends the close signal: the life is to take no newcomers, and to
	// serve on those it has.
	Close struct{ ID ID }
	// Signal sends the stop signal, or one that follows it; to the whole group
	// if the life's own process has ended.
	Signal struct {
		ID     ID
		Signal int
	}
	// PutOff records that what comes next to a life that drains, or starts,
	// comes later: it has asked for that.
	PutOff struct{ ID ID }
	// Lame tells a life over its channel to serve on as a lame duck; it may be
	// answered by Quiet.
	Lame struct{ ID ID }
	// Cut tells a life over its channel to cut what is in progress.
	Cut struct{ ID ID }
	// Quit lets a life that has drained and holds end.
	Quit struct{ ID ID }
	// Abort sends SIGABRT to a life that hangs.
	Abort struct{ ID ID }
	// Kill ends a life and its whole group at once.
	Kill struct{ ID ID }
)

// Actions on listeners.
type (
	// Quiesce makes the kernel take no new connection; answered by Quiesced.
	Quiesce struct{ Listener string }
	// CloseListener closes the supervisor's copy.
	CloseListener struct{ Listener string }
)

// Actions towards people.
type (
	// Became records that a life changed its state, and why.
	Became struct {
		ID    ID
		State State
		Why   string
	}
	// Backoff records that a slot waits before its next life.
	Backoff struct {
		Program string
		Slot    int
		Delay   time.Duration
		Crashes int // in the restart window
	}
	// Ended records that a slot needs no life any more, by its restart policy,
	// or must not get one.
	Ended struct {
		Program string
		Slot    int
		Failed  bool
	}
	// Recycling records that a life is to be replaced, and why.
	Recycling struct {
		ID  ID
		Why string
	}
	// Removed records that nothing is left of a program that the configuration
	// does not have any more.
	Removed struct{ Program string }
	// GaveUp records that a slot has failed.
	GaveUp struct {
		Program string
		Slot    int
	}
	// Up records that a program has come up: each of its workers serves or has
	// done its work, but those that have failed or that the operator has stopped.
	Up struct{ Program string }
	// AllUp records that every program has come up. One that the operator has
	// stopped before it was up has not: it is waited for until he starts it.
	AllUp struct{}
	// Rolled records how a roll of a program ended, and with what generation.
	Rolled struct {
		Program    string
		Generation int
		Verdict    Verdict
	}
	// Ignored records an event that made no sense.
	Ignored struct{ Event Event }
	// Reply answers an operator's command.
	Reply struct {
		Token   int
		Verdict Verdict
	}
	// Finish: nothing is left; nothing follows.
	Finish struct{ Verdict Verdict }
)

func (Spawn) action()          {}
func (Ask) action()            {}
func (Introduce) action()      {}
func (AskGate) action()        {}
func (RunStopCommand) action() {}
func (Close) action()          {}
func (Signal) action()         {}
func (PutOff) action()         {}
func (Lame) action()           {}
func (Cut) action()            {}
func (Quit) action()           {}
func (Abort) action()          {}
func (Kill) action()           {}
func (Quiesce) action()        {}
func (CloseListener) action()  {}
func (Became) action()         {}
func (Backoff) action()        {}
func (Ended) action()          {}
func (Recycling) action()      {}
func (Removed) action()        {}
func (GaveUp) action()         {}
func (Up) action()             {}
func (AllUp) action()          {}
func (Rolled) action()         {}
func (Ignored) action()        {}
func (Reply) action()          {}
func (Finish) action()         {}
