package supervisor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
)

// A wrapping is what can be seen of a life that takes none of its sockets: most
// often its own process is no server but has started one, which LISTEN_PID
// therefore does not name.
type wrapping struct {
	outer     proc.Seen
	inner     proc.Seen // zero: there is none
	known     bool      // outer is known as a wrapper
	lasts     bool      // inner has been seen twice: it is no tool that a script runs on its way
	elsewhere []string  // where the inner one listens itself, or the outer if there is none
}

// wrappingOf looks whether process pid is a wrapper: whether a process that it
// has started, and that has executed a program of its own, still has the
// LISTEN_PID of this one. A server that takes its sockets removes that first, as
// the protocol wants, and a worker that it forks has executed nothing. Only when
// deep it looks where they listen: that costs a look at all sockets there are.
// taken is true when somebody is seen to accept: then all is well. nil: nothing
// is seen, or pid has ended.
func wrappingOf(pid int, listeners []*sock.Listener, deep bool) (w *wrapping, taken bool) {
	outer, ok := proc.See(pid)
	if !ok {
		return nil, false
	}
	w = &wrapping{outer: outer}
	family := []int{pid}
	if inner, ok := innermost(outer); ok && inner.ListenPID == pid {
		w.inner, family = inner, proc.Family(inner.PID)
		w.known = Wraps(outer.Args, outer.Dir) || Wraps([]string{outer.Name()}, "")
	} else if !deep {
		return w, false
	}
	if accepting(pid, listeners) == sock.Accepts {
		return nil, true
	}
	for _, member := range family {
		if deep {
			w.elsewhere = append(w.elsewhere, sock.Elsewhere(member, listeners)...)
		}
	}
	slices.Sort(w.elsewhere)
	w.elsewhere = slices.Compact(w.elsewhere)
	return w, false
}

// innermost follows wrappers that start wrappers, as npm does a shell.
func innermost(outer proc.Seen) (inner proc.Seen, ok bool) {
	for inner = outer; !ok || isShell(inner.Name()) || Wraps(inner.Args, inner.Dir); ok = true {
		started := proc.Executed(inner.PID)
		if len(started) == 0 {
			break
		}
		inner = started[0]
	}
	return inner, ok
}

// wraps tells whether there is a process behind the life's own.
func (w *wrapping) wraps() bool { return w != nil && w.inner.PID != 0 }

// String says it, with its remedy.
func (w *wrapping) String() string {
	at := strings.Join(w.elsewhere, ", ")
	if !w.wraps() {
		return fmt.Sprintf("%s (pid %d) listens at %s itself, and takes none of the sockets that it is given: let it take those, by LISTEN_FDS or {fd:NAME}",
			w.outer.Name(), w.outer.PID, at)
	}
	name := w.inner.Name()
	text := fmt.Sprintf("%s (pid %d) has started %s (pid %d), which is not the process LISTEN_PID names, so it ignores the sockets",
		w.outer.Name(), w.outer.PID, name, w.inner.PID)
	if at != "" {
		text += " and listens at " + at + " itself"
	}
	text += ": start " + name + " itself: command = " + tomlList(w.inner.Args)
	if isShell(w.outer.Exe) {
		text += ", or write exec before it"
	}
	return text
}

// How often it is looked whether a life is a wrapper, until it is ready: often
// at first, since what fails because of it fails soon; then seldom, and deep.
const (
	wrapEvery = 20 * time.Millisecond
	wrapLate  = time.Second
)

// watchWrapping looks whether a life that is given sockets is a wrapper, until
// it is ready, and once more then; or until it speaks for itself: package
// lastcall needs no LISTEN_PID, and each look costs a roll under load.
func (s *Supervisor) watchWrapping(l *life) {
	if l.hello || len(l.program.Listen) == 0 || s.system.wrapping == nil {
		return
	}
	ctx, cancel := context.WithCancel(l.ctx)
	l.trust = cancel
	look, pid, listeners := s.system.wrapping, l.process.Pid(), s.socketsOf(l, l.program.Listen)
	go func() {
		defer cancel()
		tick := time.NewTicker(wrapEvery)
		defer tick.Stop()
		began, seen, deep := time.Now(), false, false
		for ready := false; !ready; {
			select {
			case <-ctx.Done():
			case <-l.settled:
				ready = true
			case <-tick.C:
			}
			if ctx.Err() != nil {
				return
			}
			if !deep && time.Since(began) >= wrapLate {
				deep = true
				tick.Reset(wrapLate)
			}
			w, taken := look(pid, listeners, deep || ready)
			if taken {
				s.call(ctx, func() { l.wraps = nil })
				return
			}
			if something := w.wraps() || w != nil && len(w.elsewhere) > 0; something || seen {
				seen = true
				s.call(ctx, func() { s.sawWrapping(l, w) })
			}
		}
	}()
}

// sawWrapping notes what was seen, and says it when it is certain: the process
// behind the wrapper listens at an address of its own, or says that it is the
// main one. A wrapper whose child has ended is what it was; what has executed a
// server since is not.
func (s *Supervisor) sawWrapping(l *life, w *wrapping) {
	if l.hello || w == nil {
		return
	}
	if !w.wraps() && len(w.elsewhere) == 0 && l.wraps.wraps() && l.wraps.outer.Exe == w.outer.Exe {
		return
	}
	w.lasts = w.wraps() && l.wraps.wraps() && l.wraps.inner.PID == w.inner.PID
	l.wraps = w
	if w.wraps() && (w.inner.PID == l.mainPID || len(w.elsewhere) > 0 && (w.known || l.ready)) {
		s.tellWrapping(l)
	}
}

// tellWrapping says it, once for each program.
func (s *Supervisor) tellWrapping(l *life) {
	if !s.wrappers[l.id.Program] {
		s.wrappers[l.id.Program] = true
		s.log.Warn("a wrapper", "worker", l.id.Worker(), "life", l.id.Life, "reason", l.wraps.String())
	}
}

// neverReady explains, as far as one knows, why a life that has ended was never
// ready.
func (s *Supervisor) neverReady(l *life) string {
	w := l.wraps
	switch {
	case l.ready:
		return ""
	case l.hello || w == nil:
	case w.wraps() && (w.known && w.lasts || w.inner.PID == l.mainPID || l.late && len(w.elsewhere) > 0):
		s.tellWrapping(l)
		return w.String()
	case l.late && len(w.elsewhere) > 0:
		return w.String()
	}
	if !l.hello && len(l.program.Listen) > 0 && inUse(l.tail.last()) {
		return fmt.Sprintf("if the address is %s, lastcall has it, and passes it: let the server take that socket, by LISTEN_FDS or {fd:NAME}; "+
			"or give each worker a port of its own, by port_base", strings.Join(s.bound(l), ", "))
	}
	return l.lacking()
}

// lacking is what its own behaviour tells of a life that was never ready.
func (l *life) lacking() string {
	ended := l.process != nil && l.process.Exit() == proc.Exit{}
	switch {
	case l.late && l.mute:
		return fmt.Sprintf("it has closed descriptor %d, and so have all who had it", l.program.ReadyBy.FD)
	case l.lacks == "" && ended && !l.late && !l.hello:
		return "if it puts itself into the background, have it stay in the foreground"
	}
	return l.lacks
}

// inUse tells whether somebody's last words are that an address is taken, in the
// words of the C library and of Node, which are those of nearly everybody.
func inUse(words []string) bool {
	return slices.ContainsFunc(words, func(line string) bool {
		return strings.Contains(strings.ToLower(line), "address already in use") || strings.Contains(line, "EADDRINUSE")
	})
}

// bound are the addresses of a life's listeners.
func (s *Supervisor) bound(l *life) []string {
	var out []string
	for _, name := range l.program.Listen {
		if ln := s.listeners[name]; ln != nil {
			out = append(out, ln.shown())
		}
	}
	return out
}
