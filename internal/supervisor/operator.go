package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/pool"
	"golang.org/x/sys/unix"
)

var _ control.Handler = (*Supervisor)(nil)

// Inflight implements control.Handler.
func (s *Supervisor) Inflight(ctx context.Context, target string) ([]control.Operation, error) {
	var err error
	s.call(ctx, func() { err = s.known(target) })
	if err != nil {
		return nil, err
	}
	var out []control.Operation
	for _, q := range s.list(ctx, maxListed, func(l *life) bool { return named(target, l.id) }) {
		out = append(out, q.operations...)
	}
	slices.SortStableFunc(out, func(a, b control.Operation) int {
		return cmp.Or(cmp.Compare(a.Worker, b.Worker), cmp.Compare(b.Age, a.Age))
	})
	return out, ctx.Err()
}

// Do implements control.Handler.
func (s *Supervisor) Do(ctx context.Context, r control.Request, progress func([]control.Progress)) control.Verdict {
	switch r.Verb {
	case "signal":
		return s.doSignal(ctx, r)
	case "upgrade":
		return s.doUpgrade(ctx)
	}
	verdict := make(chan control.Verdict, 1)
	var c Config
	var refused error
	if r.Verb == "reload" {
		s.loading <- struct{}{}
		c, refused = s.load()
	}
	ran := refused != nil || s.call(ctx, func() {
		s.token++
		s.replies[s.token] = reply{verdict, time.Now()}
		if refused = s.command(s.token, r, c); refused != nil {
			delete(s.replies, s.token)
		}
	})
	if r.Verb == "reload" {
		<-s.loading
	}
	_, unknown := errors.AsType[*control.UnknownTarget](refused)
	switch {
	case unknown:
		return control.Verdict{Code: control.NoSuch, Text: refused.Error()}
	case refused != nil:
		return control.Verdict{Code: control.Failed, Text: refused.Error()}
	case !ran:
		return control.Verdict{Code: control.NotRunning, Text: "the supervisor has stopped"}
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case v := <-verdict:
			return v
		case <-tick.C:
			if p := s.progress(ctx); len(p) > 0 {
				progress(p)
			}
		case <-ctx.Done():
			return control.Verdict{Code: control.Failed, Text: ctx.Err().Error()}
		}
	}
}

// command hands an operator's request to the core, which will answer it; c is
// the configuration of a reload.
func (s *Supervisor) command(token int, r control.Request, c Config) error {
	if r.Verb == "reload" {
		if s.core.Phase() == pool.Stopping {
			return errors.New("stopping")
		}
		return s.apply(token, c, false)
	}
	e, err := event(token, r)
	if scale, ok := e.(pool.Scale); ok {
		err = s.reserveFor(scale)
	}
	if r.Verb == "stop" && r.Target == "" {
		s.unstoreAll()
	}
	if err == nil {
		s.step(e)
	}
	return err
}

// event makes the core's command of an operator's request.
func event(token int, r control.Request) (pool.Event, error) {
	program, slot, err := parseTarget(r.Target)
	if err != nil {
		return nil, err
	}
	switch r.Verb {
	case "stop":
		return pool.Stop{Token: token, Program: program, Slot: slot, Now: r.Now}, nil
	case "drain":
		if program == "" {
			return nil, fmt.Errorf("drain needs a program or a worker; stop ends everything")
		}
		return pool.Stop{Token: token, Program: program, Slot: slot, Now: r.Now}, nil
	case "start":
		return pool.Start{Token: token, Program: program, Slot: slot}, nil
	case "restart":
		return pool.Restart{Token: token, Program: program, Slot: slot, Hard: r.Hard}, nil
	case "rollback":
		if slot >= 0 {
			return nil, errors.New("rollback is one of the whole program; name it without a slot")
		}
		return pool.Rollback{Token: token, Program: program}, nil
	case "scale":
		if program == "" || slot >= 0 {
			return nil, fmt.Errorf("scale needs a program, as in web=6")
		}
		return pool.Scale{Token: token, Program: program, Workers: r.Workers}, nil
	}
	return nil, fmt.Errorf("unknown verb %q", r.Verb)
}

// parseTarget reads "", "web" or "web.2". The names of programs have no dots.
func parseTarget(target string) (program string, slot int, err error) {
	program, number, ok := strings.Cut(target, ".")
	if !ok {
		return program, -1, nil
	}
	if slot, err = strconv.Atoi(number); err != nil || slot < 0 || strconv.Itoa(slot) != number || program == "" {
		return "", 0, &control.UnknownTarget{Target: target}
	}
	return program, slot, nil
}

// named tells whether a target, "", "web" or "web.2", names a life.
func named(target string, id pool.ID) bool {
	return target == "" || target == id.Program || target == id.Worker()
}

// known returns an error for a target that names nothing.
func (s *Supervisor) known(target string) error {
	if target == "" {
		return nil
	}
	for _, p := range s.core.Snapshot().Programs {
		if p.Name == target {
			return nil
		}
		for _, slot := range p.Slots {
			if worker(p.Name, slot.Slot) == target {
				return nil
			}
		}
	}
	return &control.UnknownTarget{Target: target}
}

// A reply is where the verdict on a command goes, and when the command came.
type reply struct {
	verdict chan<- control.Verdict // has room for it
	since   time.Time
}

// verdict puts the core's verdict into the operator's terms, with all that was
// cut since the command came.
func (s *Supervisor) verdict(v pool.Verdict, since time.Time) control.Verdict {
	code := control.Failed
	switch v.Outcome {
	case pool.Done:
		code = control.Done
	case pool.WasCut:
		code = control.Cut
	case pool.Died:
		code = control.Died
	case pool.RolledBack:
		code = control.RolledBack
	case pool.NoSuch:
		code = control.NoSuch
	case pool.Refused, pool.GaveUpAll, pool.NeverUp:
	}
	out := control.Verdict{Code: code, Text: s.explained(v)}
	for _, g := range s.graves {
		if !g.when.Before(since) {
			out.Cut = append(out.Cut, g.cut...)
		}
	}
	if code == control.RolledBack || code == control.Died {
		out.Last = s.lastLinesOf(v.Life)
	}
	return out
}

// doSignal sends a signal to the workers that are named.
func (s *Supervisor) doSignal(ctx context.Context, r control.Request) control.Verdict {
	sig, err := parseSignal(r.Signal)
	if err != nil {
		return control.Verdict{Code: control.Failed, Text: err.Error()}
	}
	n := 0
	ran := s.call(ctx, func() {
		if err = s.known(r.Target); err != nil {
			return
		}
		for id, l := range s.lives {
			if named(r.Target, id) && l.process != nil && l.process.Signal(sig) == nil {
				n++
			}
		}
	})
	switch {
	case !ran:
		return control.Verdict{Code: control.NotRunning, Text: "the supervisor has stopped"}
	case err != nil:
		return control.Verdict{Code: control.NoSuch, Text: err.Error()}
	case n == 0:
		return control.Verdict{Code: control.Failed, Text: "no process runs there"}
	}
	return control.Verdict{Text: fmt.Sprintf("sent %s to %d", unix.SignalName(sig), n)}
}

// parseSignal reads "USR1", "SIGUSR1" or "10".
func parseSignal(text string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q; give a name like USR1, or a number", text)
}
