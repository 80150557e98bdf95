package supervisor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
	"golang.org/x/sys/unix"
)

// spawn starts the process of a life. A failure is an end like another: the
// core decides what follows from it.
func (s *Supervisor) spawn(a pool.Spawn) {
	id := a.ID
	v, err := s.version(id.Program, a.Generation)
	l := s.newLife(id, v)
	l.env = wire.Env{
		Program: id.Program, Slot: id.Slot, Workers: a.Workers, Generation: a.Generation, Life: id.Life,
		Port: v.port(id.Slot), MaxRequests: jittered(v.MaxRequests, v.MaxRequestsJitter),
		Watchdog: v.Watchdog, DrainTimeout: v.DrainTimeout,
	}
	if err == nil {
		err = s.startProcess(l)
	}
	if err != nil {
		s.log.Error("start", "worker", id.Worker(), "life", id.Life, "err", err)
		l.tail.add(err.Error())
		s.queue = append(s.queue, pool.Gone{ID: id, Exit: pool.Exit{Code: 127}})
		return
	}
	s.log.Info("started", "worker", id.Worker(), "life", id.Life, "pid", l.process.Pid(), "generation", a.Generation)
	s.giveTickets(l)
	s.watchReady(l, time.Now())
}

func (s *Supervisor) newLife(id pool.ID, v *version) *life {
	l := &life{id: id, program: &v.Program, pinned: v.pinned, tail: &tail{}, lists: make(map[int]*listing), settled: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.over, l.end = context.WithCancel(l.ctx)
	s.lives[id] = l
	return l
}

// jittered adds up to jitter to a limit, by chance.
func jittered(limit, jitter int) int {
	if limit > 0 && jitter > 0 {
		limit += rand.IntN(jitter + 1)
	}
	return limit
}

// startProcess makes what belongs to a life, and the life. What it opened is
// closed by the end of the life, also when it fails half way.
func (s *Supervisor) startProcess(l *life) error {
	env := &l.env
	var files []int
	l.sockets = make(map[string]int)
	for _, name := range l.program.Listen {
		ln := s.listeners[name]
		if ln == nil || ln.closed {
			return fmt.Errorf("start %s: listener %s is closed", l.id.Worker(), name)
		}
		number, err := l.socket(ln)
		if err != nil {
			return fmt.Errorf("start %s: %w", l.id.Worker(), err)
		}
		socket := ln.Socket(number)
		a := socket.Address()
		env.Listeners = append(env.Listeners, wire.Listener{Name: ln.config.Name, Network: a.Network, Address: a.Address})
		l.sockets[name] = number
		files = append(files, socket.FD())
	}
	channel, end, err := s.system.channel()
	switch {
	case err == nil:
		l.channel, env.Channel = channel, wire.FirstFD+len(files)
		if env.Channel == l.program.ReadyBy.FD {
			env.Channel++ // that one is asked for by number
		}
		files = placed(files, env.Channel, end)
		defer unix.Close(end)
	case !errors.Is(err, errors.ErrUnsupported):
		return err
	}
	if err := s.giveNotify(l); err != nil {
		return err
	}
	files, newline, err := s.giveNewline(l, files)
	if err != nil {
		return err
	}
	defer newline.Close()
	if err := l.awaitLine(); err != nil {
		return err
	}
	stdout, stderr, err := s.outputs(l)
	if err != nil {
		return err
	}
	defer stdout.Close()
	defer stderr.Close()
	vars := l.variables()
	args := l.program.Command
	if !l.program.Verbatim {
		args = expandAll(vars, args)
	}
	spec := proc.Spec{
		Path: l.program.Path, Pinned: l.pinned, Args: args, Dir: l.program.Dir, User: l.program.User,
		Env:    environment(l.program, *env, vars),
		Files:  files,
		Stdout: stdout, Stderr: stderr,
		Before: func(p *proc.Process) { l.guarded = s.guard.Add(l.rule(), p, l.channelConn()) },
	}
	if l.process, err = s.system.start(spec); err != nil {
		for _, st := range l.streams {
			st.pipe.Close()
		}
		return err
	}
	s.attach(l)
	return nil
}

// attach brings all that a life says, and its end, to the loop.
func (s *Supervisor) attach(l *life) {
	if l.channel != nil {
		l.spokeEnd = s.listen(l)
		l.ends = append(l.ends, l.spokeEnd)
	}
	if l.notify != nil {
		l.speakers = speakers(l.program)
		l.said = append(l.said, s.hear(l))
	}
	if l.newline != nil {
		l.ends = append(l.ends, s.hearNewline(l))
	}
	for _, st := range l.streams {
		l.said = append(l.said, s.follow(l, st))
	}
	l.ends = append(l.ends, l.said...)
	s.watchMemory(l.program)
	go s.watch(l, l.process, l.spokeEnd, l.said)
}

// variables are what is substituted in commands, environment and gates.
func (l *life) variables() *strings.Replacer {
	e := l.env
	pairs := []string{
		"{worker}", e.Worker(), "{program}", e.Program, "{slot}", strconv.Itoa(e.Slot),
		"{workers}", strconv.Itoa(e.Workers), "{generation}", strconv.Itoa(e.Generation),
	}
	if e.Port > 0 {
		pairs = append(pairs, "{port}", strconv.Itoa(e.Port))
	}
	for i, l := range e.Listeners {
		pairs = append(pairs, "{fd:"+l.Name+"}", strconv.Itoa(wire.FirstFD+i))
	}
	return strings.NewReplacer(pairs...)
}

func expandAll(r *strings.Replacer, list []string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = r.Replace(text)
	}
	return out
}

// environment is the whole environment of a worker: what the supervisor has
// inherited for it, then the program's, then what the supervisor says.
func environment(p *Program, e wire.Env, vars *strings.Replacer) []string {
	return append(inherited(), given(p, e, vars)...)
}

// given is what a worker's environment has beyond what is inherited.
func given(p *Program, e wire.Env, vars *strings.Replacer) []string {
	out := append(expandAll(vars, p.Env), e.Encode()...)
	for _, f := range p.ListenEnv {
		out = append(out, e.EncodeFor(f, os.Getpid())...)
	}
	return out
}

// inherited is the supervisor's own environment, less what its parent said to
// it alone.
func inherited() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return wire.IsSaid(key) || strings.HasPrefix(key, "EINHORN_") || strings.HasPrefix(key, "SERVER_STARTER_")
	})
}
