package supervisor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
)

// A life is what the shell has of one life: its process and the descriptors
// that belong to it. It is the loop's alone.
type life struct {
	id             pool.ID
	program        *Program
	pinned         *os.File // its version's
	env            wire.Env
	sockets        map[string]int // which it was given of each listener; nil: none yet
	held           []heldAction   // until its socket is empty
	told           bool           // refuseAfter ago, by its stop signal, that it is to end
	process        process        // nil: it could not be started
	guarded        *guard.Life    // nil: the guard does not know of it
	command        process        // its stop command; nil: none was started
	guardedCommand *guard.Life
	channel        channel
	notify         datagrams
	speakers       map[int]bool // users who may notify; of whoever hears
	strangers      bool         // others have; of whoever hears
	tail           *tail
	streams        []*stream         // stdout and stderr
	spokeEnd       <-chan struct{}   // closed when its channel has been read to the end
	line           *readyLine        // by which it tells that it is ready; nil: by none
	newline        source            // to which it writes one when it is ready; nil: it does not
	said           []<-chan struct{} // the same of its notify socket and its streams
	ends           []<-chan struct{} // of all that read what it says
	over           context.Context   // ends when nothing of it is left that could say something new
	end            context.CancelFunc

	ctx    context.Context // ends with the life
	cancel context.CancelFunc
	spoke  context.CancelFunc // ends the guessing of its readiness
	trust  context.CancelFunc // ends the looking whether it is a wrapper; nil: nobody does
	gate   context.CancelFunc // ends the asking of its gate; nil: not asked

	handed *proc.Handover // while another executable is about to take over; nil: it is not

	missed  bool // it had ended when it was killed
	hello   bool
	spokeUp bool                // it says itself when it is ready
	sight   atomic.Int64        // whether it takes connections, as last seen, by whoever looks
	status  string              // its STATUS= line
	reloads bool                // by its word
	mainPID int                 // its MAINPID=; 0: it has not said
	state   pool.State          // the last that was recorded
	work    work                // what it does, if it is told so without a channel
	waiting string              // what its gate waits for
	cut     []control.Operation // what it reports to have cut
	moved   int                 // connections it reports to have handed on
	ready   bool                // it has become so
	late    bool                // it is killed since it has not
	lacks   string              // while it is not: why, as far as one knows
	mute    bool                // the descriptor for its newline is closed, by all who had it
	wraps   *wrapping           // it is a wrapper, it seems; nil: it does not
	settled chan struct{}       // closed when it is ready
	lists   map[int]*listing    // questions about its operations, by request
}

func (l *life) pid() int {
	if l.process == nil {
		return 0
	}
	return l.process.Pid()
}

// signal sends a signal to the process, or to its group when the process has
// ended before it. A stopped process is continued, or it could not obey. That
// it has ended meanwhile is no error: its end is on the way to the loop.
func (l *life) signal(sig syscall.Signal) {
	if l.process == nil {
		return
	}
	select {
	case <-l.process.Exited():
		_ = l.process.SignalGroup(sig)
	default:
		_ = l.process.Signal(sig)
	}
	_ = l.process.SignalGroup(syscall.SIGCONT)
}

func (l *life) endGate() {
	if l.gate != nil {
		l.gate()
		l.gate, l.waiting = nil, ""
	}
}

// release closes what belonged to the life. Its stop command is endCommand's.
func (l *life) release() {
	l.endGate()
	l.cancel()
	if l.channel != nil {
		_ = l.channel.Close()
	}
	if l.notify != nil {
		_ = l.notify.Close()
	}
	if l.newline != nil {
		_ = l.newline.Close() // it may be closed already
	}
	for _, q := range l.lists {
		q.end()
	}
	l.guardedCommand.Forget()
	l.guarded.Forget()
}

// watch brings the end of the process to the loop, after all it had to say:
// the last messages of its channel and the last lines of its output. Somebody
// outside its group may hold those open, so they are waited for a moment only.
func (s *Supervisor) watch(l *life, p process, spoke <-chan struct{}, said []<-chan struct{}) {
	if !l.waits(p.Exited()) {
		return
	}
	moment := time.NewTimer(10 * time.Millisecond)
	defer moment.Stop()
	select {
	case <-p.Gone(): // as it is for a process that leaves nobody behind
	case <-moment.C:
		s.post(pool.Exited{ID: l.id})
		if !l.waits(p.Gone()) {
			return
		}
	}
	if l.channel != nil {
		_ = l.channel.CloseRead() // whoever else may hold the other end
		<-spoke
	}
	moment.Reset(200 * time.Millisecond)
	l.end()
	if l.notify != nil {
		_ = l.notify.SetReadDeadline(time.Unix(1, 0)) // hear takes what is left, and ends
	}
	for _, c := range said {
		select {
		case <-c:
		case <-moment.C:
			moment.Reset(0)
		}
	}
	e := p.Exit()
	s.call(context.Background(), func() {
		s.step(pool.Gone{ID: l.id, Exit: pool.Exit{Code: e.Code, Signal: int(e.Signal)}, Missed: l.missed})
	})
}

// waits waits until c is closed. It returns false when the life is let go
// before: nobody looks any more at one that even KILL has not ended.
func (l *life) waits(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// operations puts the wire's form of a worker's operations into the
// operator's.
func operations(worker string, list []wire.Operation) []control.Operation {
	out := make([]control.Operation, len(list))
	for i, o := range list {
		out[i] = control.Operation{
			Worker: worker, Name: o.Name, Route: o.Route, Class: string(o.Class),
			State: o.State, Client: o.Client, Age: o.Age,
		}
	}
	return out
}

// describe names operations in one line, at most five of them.
func describe(list []control.Operation) string {
	var b strings.Builder
	for i, o := range list {
		if i > 0 {
			b.WriteString("; ")
		}
		if i == 5 {
			fmt.Fprintf(&b, "and %d more", len(list)-i)
			break
		}
		b.WriteString(name(o))
	}
	return b.String()
}

// name describes one operation: "POST /work/a (critical, 1.2s old, from
// 127.0.0.1:5)".
func name(o control.Operation) string {
	what := o.Name
	if o.Route != "" {
		what += " " + o.Route
	}
	text := fmt.Sprintf("%s (%s, %v old", what, o.Class, o.Age.Round(100*time.Millisecond))
	if o.Client != "" {
		text += ", from " + o.Client
	}
	return text + ")"
}
