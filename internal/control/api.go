// Package control is the operator's socket: HTTP with JSON over a unix socket
// that only its owner may open, its client and its server. It carries
// questions to the supervisor and verdicts back, and knows nothing of
// processes.
package control

import (
	"context"
	"time"
)

// The verdicts of a command, and the exit codes of the verbs that carry them.
const (
	Done       = 0 // done, everything ended by itself
	Failed     = 1 // not done; Text says why
	NotRunning = 3 // no supervisor answers
	NoSuch     = 4 // no such program or worker
	Cut        = 5 // done, but a deadline cut work
	Died       = 6 // done, but something died or had to be killed
	RolledBack = 7 // a roll did not come through; the old workers serve on
)

// A Request is one operator's command.
type Request struct {
	Verb    string `json:"verb"`             // "stop", "start", "restart", "reload", "rollback", "upgrade", "drain", "scale", "signal"
	Target  string `json:"target,omitempty"` // "", "web" or "web.2"
	Now     bool   `json:"now,omitempty"`    // stop: cut at once
	Hard    bool   `json:"hard,omitempty"`   // restart: also what others depend on
	Workers int    `json:"workers,omitempty"`
	Signal  string `json:"signal,omitempty"` // "USR1", "SIGUSR1" or a number
}

// A Verdict is the one answer to a Request.
type Verdict struct {
	Code int         `json:"code"`
	Text string      `json:"text,omitempty"`
	Cut  []Operation `json:"cut,omitempty"`
	Last []string    `json:"last,omitempty"` // a failing worker's last lines
}

// An Update is one line of a command's answer: progress, or the verdict.
type Update struct {
	Progress []Progress `json:"progress,omitempty"`
	Verdict  *Verdict   `json:"verdict,omitempty"`
}

// Progress says what one worker that is on its way out still waits for.
type Progress struct {
	Worker  string        `json:"worker"`
	State   string        `json:"state"`
	Waiting string        `json:"waiting,omitempty"` // the operation or gate that holds it
	Count   int           `json:"count,omitempty"`   // operations that hold it
	Left    time.Duration `json:"left"`
}

// Status is the supervisor and all it runs, at one moment.
type Status struct {
	Name      string     `json:"name"`
	PID       int        `json:"pid"`
	Guard     int        `json:"guard,omitempty"` // its pid; 0: there is none
	Version   string     `json:"version"`
	Upgrades  int        `json:"upgrades"` // how often another executable has taken over
	Uptime    float64    `json:"uptime_seconds"`
	State     string     `json:"state"` // "starting", "running", "rolling", "stopping"
	Listeners []Listener `json:"listeners"`
	Programs  []Program  `json:"programs"`
}

// Listener is one listening socket of the supervisor.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	State   string `json:"state"`   // "open", "quiesced", "closed"
	Waiting bool   `json:"waiting"` // somebody is in its queue
	Sockets int    `json:"sockets"` // more than 1: workers have one each
	// Each tells that the sockets have a port each: Address is that of slot 0,
	// the next is one higher.
	Each bool `json:"each,omitempty"`
}

// Program is one program and its workers, by slot; a slot that is being
// replaced has two entries, the older life first.
type Program struct {
	Name       string   `json:"name"`
	Generation int      `json:"generation"`
	Wanted     int      `json:"wanted"`
	Workers    []Worker `json:"workers"`
}

// Worker is one life in a slot, or an empty slot (PID 0).
type Worker struct {
	Worker     string  `json:"worker"` // "web.2"
	Slot       int     `json:"slot"`
	Life       int     `json:"life,omitempty"`
	PID        int     `json:"pid,omitempty"`
	Generation int     `json:"generation,omitempty"`
	State      string  `json:"state"`
	Reason     string  `json:"reason,omitempty"` // why it waits, failed or drains
	Uptime     float64 `json:"uptime_seconds,omitempty"`
	Restarts   int     `json:"restarts"`
	// Inflight counts operations in progress, -1 where the worker cannot say.
	Inflight int `json:"inflight"`
	// Accepting says whether it still takes connections: "yes", "no", "-" for
	// one without listeners, "unknown" where it cannot be seen.
	Accepting string `json:"accepting"`
	// Addresses are those that are the slot's own; none where workers share
	// all. Of one that the worker binds itself only the port is known: ":8002".
	Addresses []string `json:"addresses,omitempty"`
	Status    string   `json:"status,omitempty"` // its own STATUS= line
	Left      float64  `json:"left_seconds,omitempty"`
}

// Operation is one piece of work in progress in a worker.
type Operation struct {
	Worker string        `json:"worker"`
	Name   string        `json:"name"`
	Route  string        `json:"route,omitempty"`
	Class  string        `json:"class"`
	State  string        `json:"state,omitempty"`
	Client string        `json:"client,omitempty"`
	Age    time.Duration `json:"age"`
}

// A Handler answers for the supervisor. Its methods may be called from any
// goroutine, and return when ctx ends.
type Handler interface {
	Status(ctx context.Context) (Status, error)
	// Inflight lists operations of the workers that target names; "" is all.
	// An error that is an *UnknownTarget is answered as NoSuch.
	Inflight(ctx context.Context, target string) ([]Operation, error)
	// Do carries out a command and returns its verdict. It calls progress
	// about once a second while it waits, never after it has returned. When
	// ctx ends first the command goes on; only the waiting stops.
	Do(ctx context.Context, r Request, progress func([]Progress)) Verdict
}

// UnknownTarget is the error for a program or worker that does not exist.
type UnknownTarget struct{ Target string }

func (e *UnknownTarget) Error() string { return "no program or worker named " + e.Target }
