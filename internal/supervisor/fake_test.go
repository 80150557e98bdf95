package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/handoff"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
	"github.com/lastcall/lastcall/internal/wire"
)

// A queue carries what one side says to the other. Whoever waits on it is
// blocked durably, in the sense of package synctest: its clock goes on.
type queue[T any] struct {
	mu      sync.Mutex
	changed *sync.Cond
	items   []T
	ended   bool // nothing more will be put
	deaf    bool // nobody will get
	reset   bool // and something was left, which the kernel tells apart
	woken   bool // a getter is to return
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.changed = sync.NewCond(&q.mu)
	return q
}

func (q *queue[T]) set(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f()
	q.changed.Broadcast()
}

func (q *queue[T]) put(v T) (err error) {
	q.set(func() {
		if q.ended || q.deaf {
			if err = syscall.EPIPE; q.reset {
				err = syscall.ECONNRESET
			}
			return
		}
		q.items = append(q.items, v)
	})
	return err
}

func (q *queue[T]) get() (v T, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.deaf:
			return v, os.ErrClosed
		case q.woken:
			return v, os.ErrDeadlineExceeded
		case len(q.items) > 0:
			v, q.items = q.items[0], q.items[1:]
			return v, nil
		case q.ended:
			return v, io.EOF
		}
		q.changed.Wait()
	}
}

func (q *queue[T]) end()              { q.set(func() { q.ended = true }) }
func (q *queue[T]) hangUp()           { q.set(func() { q.deaf = true }) }
func (q *queue[T]) hangUpUnread()     { q.set(func() { q.deaf, q.reset = true, true }) }
func (q *queue[T]) interrupt(on bool) { q.set(func() { q.woken = on }) }

func (q *queue[T]) isDeaf() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.deaf
}

// A noConn has no descriptor.
type noConn struct{}

func (noConn) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

// A fakeChannel is one end of a channel.
type fakeChannel struct {
	in, out *queue[wire.Message]
	noConn
}

func fakePair() (ours, theirs *fakeChannel) {
	up, down := newQueue[wire.Message](), newQueue[wire.Message]()
	return &fakeChannel{in: up, out: down}, &fakeChannel{in: down, out: up}
}

func (c *fakeChannel) Send(messages ...wire.Message) error {
	for _, m := range messages {
		if err := c.out.put(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *fakeChannel) Receive() (wire.Message, error) { return c.in.get() }
func (c *fakeChannel) CloseRead() error               { c.in.end(); return nil }

func (c *fakeChannel) Interrupt() error { c.in.interrupt(true); return nil }
func (c *fakeChannel) Resume() error    { c.in.interrupt(false); return nil }

func (c *fakeChannel) Close() error {
	c.in.hangUp()
	c.out.end()
	return nil
}

// A fakeSource is our end of a pipe or of a notify socket.
type fakeSource struct {
	*queue[string]
	rest string
	noConn
}

func newSource() *fakeSource { return &fakeSource{queue: newQueue[string]()} }

func (s *fakeSource) Read(p []byte) (int, error) {
	if s.rest == "" {
		text, err := s.get()
		if err != nil {
			return 0, err
		}
		s.rest = text
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *fakeSource) Receive() ([]byte, sender, error) {
	text, err := s.get()
	return []byte(text), sender{user: os.Geteuid()}, err
}

func (s *fakeSource) Left() ([]byte, sender, error) { return nil, sender{}, io.EOF }

func (s *fakeSource) Close() error { s.hangUp(); return nil }

func (s *fakeSource) SetReadDeadline(t time.Time) error { s.interrupt(!t.IsZero()); return nil }

// A fakeSystem is an operating system, in a bubble of package synctest, whose
// processes do what the test tells them.
type fakeSystem struct {
	mu      sync.Mutex
	refuse  error // of every start
	next    *fakeProcess
	started []*fakeProcess
	starts  func(*fakeProcess) // called with each; nil: nothing is
	strays  []*fakeProcess     // that are found once

	pairless error // what each making of a pair comes to
	pairs    int
	minted   []int // with real, the descriptors
	real     bool

	proof error // what the next executable's reading of the state comes to
	execs int
}

func (f *fakeSystem) boot() (system, error) {
	return system{
		start: f.start, close: func() error { return nil },
		channel: f.channel, notify: f.notify, pipe: f.pipe, pair: f.pair,
		accepting: func(pid int, _ []*sock.Listener) sock.Sight { return f.of(pid).seen() },
		memory:    func(pid int) int64 { return f.of(pid).eats() },
		prove:     func(string, []string, []byte) ([]byte, error) { return []byte("it says\nso"), f.proof },
		handOver:  f.handOver, adopt: f.adopt, exec: f.exec,
		spare: func([]int) {}, spared: func() []int { return nil }, strays: f.findStrays,
	}, nil
}

// stray has one that a worker has left behind be found, with a number of its
// own.
func (f *fakeSystem) stray(pid int) *fakeProcess {
	p := &fakeProcess{pid: pid, spec: proc.Spec{Args: []string{"stray"}}, began: time.Now(), exited: make(chan struct{}), gone: make(chan struct{})}
	f.strays = append(f.strays, p)
	return p
}

func (f *fakeSystem) findStrays() (out []process) {
	for _, p := range f.strays {
		out = append(out, p)
	}
	f.strays = nil
	return out
}

// making returns the process whose ends are being made.
func (f *fakeSystem) making() *fakeProcess {
	if f.next == nil {
		f.next = &fakeProcess{exited: make(chan struct{}), gone: make(chan struct{}), began: time.Now(), sight: sock.Unseen}
	}
	return f.next
}

func (f *fakeSystem) channel() (channel, int, error) {
	p := f.making()
	ours, theirs := fakePair()
	p.ours, p.channel = ours, theirs
	return ours, -1, nil
}

func (f *fakeSystem) notify(pool.ID, string) (datagrams, string, error) {
	p := f.making()
	p.notify = newSource()
	return p.notify, "@notify", nil
}

// pipe returns no file for the other end: a process writes to the source.
func (f *fakeSystem) pipe() (source, *os.File, error) {
	p := f.making()
	out := newSource()
	p.outputs = append(p.outputs, out)
	return out, nil, nil
}

// pair returns numbers that are no descriptors: -2 and -3, -4 and -5.
func (f *fakeSystem) pair() (sender, receiver int, err error) {
	if f.pairless != nil {
		return -1, -1, f.pairless
	}
	if f.real {
		sender, receiver, err = handoff.Pair()
		f.minted = append(f.minted, sender, receiver)
		return sender, receiver, err
	}
	f.pairs++
	return -2 * f.pairs, -2*f.pairs - 1, nil
}

func (f *fakeSystem) start(spec proc.Spec) (process, error) {
	p := f.making()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = nil
	if f.refuse != nil {
		p.hush()
		return nil, f.refuse
	}
	p.pid, p.spec = 1<<23+len(f.started), spec
	f.started = append(f.started, p)
	if f.starts != nil {
		f.starts(p)
	}
	return p, nil
}

// process returns the ith that was started, nil if there is none.
func (f *fakeSystem) process(i int) *fakeProcess {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= len(f.started) {
		return nil
	}
	return f.started[i]
}

func (f *fakeSystem) of(pid int) *fakeProcess { return f.process(pid - 1<<23) }

func (f *fakeSystem) handOver(list []process) ([]proc.Handover, error) {
	out := make([]proc.Handover, len(list))
	for i, p := range list {
		out[i] = proc.Handover{PID: p.Pid(), Pidfd: -1}
	}
	return out, nil
}

func (f *fakeSystem) adopt(h proc.Handover) (process, error) { return f.of(h.PID), nil }

func (f *fakeSystem) exec(string, []string, []string) error {
	f.execs++
	return errors.New("exec format error")
}

// A fakeProcess is a process and its group, from both sides.
type fakeProcess struct {
	pid          int
	spec         proc.Spec
	began        time.Time
	exited, gone chan struct{}

	ours    *fakeChannel // the supervisor's end
	channel *fakeChannel // its own; nil: a stop command
	notify  *fakeSource
	outputs []*fakeSource // stdout and stderr

	mu      sync.Mutex
	exit    proc.Exit
	signals []string
	told    func(who string, s syscall.Signal) // of each signal; nil: nothing is
	sight   sock.Sight
	memory  int64
	weighed int // how often its memory was looked at
}

func (p *fakeProcess) Pid() int                { return p.pid }
func (p *fakeProcess) Exited() <-chan struct{} { return p.exited }
func (p *fakeProcess) Gone() <-chan struct{}   { return p.gone }

func (p *fakeProcess) Exit() proc.Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

func (p *fakeProcess) Signal(s syscall.Signal) error { return p.got("leader", s) }

func (p *fakeProcess) SignalGroup(s syscall.Signal) error {
	select {
	case <-p.gone:
		return os.ErrProcessDone
	default:
		return p.got("group", s)
	}
}

// got notes a signal with the time since the start: "5s leader 15".
func (p *fakeProcess) got(who string, s syscall.Signal) error {
	p.mu.Lock()
	p.signals = append(p.signals, fmt.Sprintf("%v %s %d", time.Since(p.began), who, s))
	told := p.told
	p.mu.Unlock()
	if told != nil {
		told(who, s)
	}
	return nil
}

// heard returns the signals that came, but for CONT.
func (p *fakeProcess) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.signals), func(s string) bool { return s[len(s)-3:] == " 18" })
}

func (p *fakeProcess) continued() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.signals, func(s string) bool { return s[len(s)-8:] == "group 18" })
}

func (p *fakeProcess) seen() sock.Sight {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sight
}

func (p *fakeProcess) eats() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weighed++
	return p.memory
}

// set changes what can be seen of the process.
func (p *fakeProcess) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// print writes to stdout.
func (p *fakeProcess) print(text string) { _ = p.outputs[0].put(text) }

// leave ends the leader alone.
func (p *fakeProcess) leave(e proc.Exit) {
	p.set(func() { p.exit = e })
	close(p.exited)
}

// hush closes all that the process has open.
func (p *fakeProcess) hush() {
	if p.channel != nil {
		_ = p.channel.Close()
	}
	for _, out := range p.outputs {
		out.end()
	}
}

// end ends the process, which is alone in its group.
func (p *fakeProcess) end(e proc.Exit) {
	p.hush()
	p.leave(e)
	close(p.gone)
}
