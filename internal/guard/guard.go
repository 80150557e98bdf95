// Package guard finishes an orderly stop when the supervisor is killed. It has
// two sides. A Guard is the supervisor's: it starts the guard, a small process
// of the supervisor's own executable, tells it of every life, and replaces it
// when it dies. The other side is that process: it waits, and when its
// supervisor ends without having ended it, it asks every life to stop in the
// order of their dependencies, kills at the deadlines what does not, and ends.
//
//	supervisor ── rules, pidfds ──▶ guard
//	    │ killed: the kernel closes the link
//	    ▼
//	           ask ─▶ (all that need it are gone first) ─▶ wait ─▶ kill ─▶ end
//
// The guard can signal no stranger: what it knows of a process is its pidfd.
// It holds no listening socket, so a port is free when the workers have closed
// theirs. A farewell needs no message: the supervisor kills it.
//
// Death signals (PR_SET_PDEATHSIG) were rejected: they belong to the thread
// that forked, are lost when a program changes its user, and know no order.
//
// It needs Linux. Elsewhere there is no guard, and all methods do nothing.
package guard

import (
	"syscall"
	"time"
)

// A Rule says how a life is to be stopped. The zero value of a field means
// none, unless its comment says otherwise.
type Rule struct {
	Worker  string   // for the log, "web.2"
	Program string   // the program it is a life of
	Needs   []string // programs whose lives are asked only when this one is gone

	Drain       []byte         // what asks it over its channel, once it is known to use that
	StopCommand *Command       // what asks it otherwise, before StopSignal
	StopSignal  syscall.Signal // what asks it otherwise
	StopSteps   []Step         // what follows StopSignal
	StopTimeout time.Duration  // from StopCommand to StopSignal; from the end of its own process to the kill of its group
	KillAfter   time.Duration  // from StopSignal, or Drain, to the kill

	CloseSignal  syscall.Signal // sent before StopCommand and StopSignal; they come CloseMoment later
	CloseMoment  time.Duration  // or, to a life that is busy when the supervisor dies,
	CloseTimeout time.Duration  // after this: the guard does not hear when it has done
}

// A Step is a signal that follows another one.
type Step struct {
	After  time.Duration
	Signal syscall.Signal
}

// A Turn is how far a life has come on its way out. The zero value: it has not
// been asked.
type Turn struct {
	Closing time.Time // it has its close signal, and is asked further then; zero: it has not, or was
	Kill    time.Time // it was asked to end, is not asked again, and is killed then; zero: it was not
	Sent    int       // how many of its StopSteps it has
	Next    time.Time // when the next of them comes; zero: none does
}

// A Command is a stop command. Args[0] is looked for in PATH.
type Command struct {
	Args []string
	Env  []string // in addition to what the guard was started with
	Dir  string   // "": the supervisor's
	User string   // as in proc.Spec
}

// A message is one datagram from the supervisor to the guard: a life, and one
// thing about it.
type message struct {
	ID     int   // the life's; never used twice
	PID    int   `json:",omitempty"`
	Rule   *Rule `json:",omitempty"` // it is new: descriptors come with it, its pidfd and then its channel; without: it has another rule now
	Drains bool  `json:",omitempty"` // it uses its channel
	Busy   *bool `json:",omitempty"` // whether it has work in progress that its stop signal would cut
	Turn   *turn `json:",omitempty"` // how far it has come
	Gone   bool  `json:",omitempty"` // its process and its group have ended
}

// A turn is a Turn as it travels: another process may have another clock.
type turn struct {
	Closing, Kill, Next *time.Duration `json:",omitempty"` // from now
	Sent                int            `json:",omitempty"`
}
