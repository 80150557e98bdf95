package pool

import "time"

// An Event is one thing that happened. Those about processes name the life
// they are about, never a pid.
type Event interface{ event() }

// Exit is how a process ended: by a signal, or with a status.
type Exit struct {
	Signal int // 0: it exited
	Code   int
}

// The events of processes.
type (
	// Hello: the life has opened its channel; it is asked to drain over it.
	// Moves: it can hand connections on, and take them.
	Hello struct {
		ID    ID
		Moves bool
	}
	// Ready: the life serves.
	Ready struct{ ID ID }
	// Alive: the life gives a sign to its watchdog.
	Alive struct{ ID ID }
	// Hung: the life says of itself what its watchdog would find out.
	Hung struct{ ID ID }
	// Watch: the life sets for itself how long its watchdog waits; 0: for ever.
	Watch struct {
		ID    ID
		Every time.Duration
	}
	// Extend: the life asks for By from now, to become ready or for what it is
	// given next while it drains.
	Extend struct {
		ID ID
		By time.Duration
	}
	// Ending: the life says that it ends by itself.
	Ending struct{ ID ID }
	// Busy: by its own word the life has critical operations in progress, or
	// (Is is false) none any more. It is for lives without a channel: those
	// with one wait for theirs themselves.
	Busy struct {
		ID ID
		Is bool
	}
	// Worn: the life is to be replaced, for the reason given.
	Worn struct {
		ID  ID
		Why string
	}
	// Closed: the life has closed its copies of the listeners.
	Closed struct {
		ID        ID
		Listeners []string
	}
	// Drained: the life reports that nothing is in progress any more, and how
	// many operations it had to cut.
	Drained struct {
		ID  ID
		Cut int
	}
	// Lost: the life, which drains, has lost the peer that it was introduced
	// to, and would be introduced anew if that still serves.
	Lost struct{ ID, Peer ID }
	// Quiet: the lame duck gets no more requests.
	Quiet struct{ ID ID }
	// GateOpen: the question asked after AskGate is answered with go.
	GateOpen struct{ ID ID }
	// CommandFailed: the stop command could not be run, or failed.
	CommandFailed struct{ ID ID }
	// Exited: the process has ended, but others of its group live on.
	Exited struct{ ID ID }
	// Gone: the process and its whole group have ended. Missed: before the Kill,
	// which found nobody.
	Gone struct {
		ID     ID
		Exit   Exit
		Missed bool
	}
)

// The other events.
type (
	// Begin starts the pool.
	Begin struct{}
	// Tick: time has passed.
	Tick struct{}
	// Quiesced: nobody is left in the listener's queue, or waiting for it has
	// taken too long.
	Quiesced struct{ Listener string }
)

// The operator's commands. Each is answered by exactly one Reply with its
// Token; if that is 0, only when it is refused. Program "" is everything; Slot -1 is every slot.
type (
	// Stop ends what it names; everything: for good, in order. Now cuts what
	// is in progress, also of an earlier Stop that still waits.
	Stop struct {
		Token   int
		Program string
		Slot    int
		Now     bool
	}
	// Start ends a Stop of a program or slot, and a slot's failure.
	Start struct {
		Token   int
		Program string
		Slot    int
	}
	// Restart replaces workers one by one. Program "": all programs with
	// listeners. Hard: stops what depends on the program, restarts it, and
	// starts all again.
	Restart struct {
		Token   int
		Program string
		Slot    int
		Hard    bool
	}
	// Scale sets the number of workers.
	Scale struct {
		Token   int
		Program string
		Workers int
	}
	// Reload replaces the configuration by Programs. Those of Roll are rolled;
	// what else has changed holds at once. A program that is not there any
	// more ends, after all that depend on it.
	Reload struct {
		Token    int
		Programs []Program
		Roll     []string
	}
	// Rollback rolls back to the generation before. Program "": every program
	// that has one.
	Rollback struct {
		Token   int
		Program string
	}
)

func (Hello) event()         {}
func (Ready) event()         {}
func (Alive) event()         {}
func (Hung) event()          {}
func (Watch) event()         {}
func (Extend) event()        {}
func (Ending) event()        {}
func (Busy) event()          {}
func (Worn) event()          {}
func (Closed) event()        {}
func (Drained) event()       {}
func (Lost) event()          {}
func (Quiet) event()         {}
func (GateOpen) event()      {}
func (CommandFailed) event() {}
func (Exited) event()        {}
func (Gone) event()          {}
func (Begin) event()         {}
func (Tick) event()          {}
func (Quiesced) event()      {}
func (Stop) event()          {}
func (Start) event()         {}
func (Restart) event()       {}
func (Scale) event()         {}
func (Reload) event()        {}
func (Rollback) event()      {}
