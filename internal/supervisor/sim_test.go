package supervisor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/sock"
	"golang.org/x/sys/unix"
)

var (
	seeds   = flag.Int("seeds", 100, "how many random schedules TestSimulation plays")
	first   = flag.Uint64("seed", 0, "the first of them")
	playFor = flag.Duration("for", 0, "play schedules for so long, however many, and say how far it is")
)

// TestSimulation plays random schedules against the whole supervisor, in virtual
// time: workers that come up or do not, that crash, hang, are deaf, leave others
// behind; operators, signals, clients; and at last a stop. Of a schedule after
// which something is wrong it prints the seed and the log. The core decides the
// same each time; which of two things that happen at once comes first is the
// scheduler's, so a seed may have to be played a few times.
func TestSimulation(t *testing.T) {
	began := time.Now()
	for n := uint64(0); !t.Failed(); n++ {
		if *playFor > 0 && time.Since(began) >= *playFor || *playFor == 0 && n >= uint64(*seeds) {
			return
		}
		if *playFor > 0 && n%1000 == 0 {
			fmt.Fprintf(os.Stderr, "%6v  %d schedules\n", time.Since(began).Round(time.Second), n)
		}
		simulate(t, *first+n)
	}
}

// A simulation is one schedule while it is played. Its fields are the driver's,
// but those behind mu.
type simulation struct {
	*dice
	t      *testing.T
	seed   uint64
	began  time.Time
	log    lockedBuffer
	system *fakeSystem
	super  *Supervisor
	report chan Report
	ended  *Report
	asking sync.WaitGroup

	mu      sync.Mutex
	actors  []*actor
	wrong   []string
	pending int       // verdicts
	stopped time.Time // when the final stop was asked for; zero: it was not
}

func simulate(t *testing.T, seed uint64) {
	s := &simulation{dice: newDice(seed, 1), t: t, seed: seed, report: make(chan Report, 1)}
	defer func() {
		if r := recover(); r != nil { // whoever is left is stuck
			s.fault("%v", r)
		}
		if len(s.wrong) > 0 {
			t.Errorf("seed %d:\n%s\n%s", seed, s.log.String(), strings.Join(s.wrong, "\n"))
		}
	}()
	synctest.Test(t, func(*testing.T) { s.play() })
}

func (s *simulation) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// play plays until Run has returned, and then looks at what is left.
func (s *simulation) play() {
	s.began, s.report = time.Now(), make(chan Report, 1)
	s.system = &fakeSystem{starts: s.cast, proof: errors.New("not this one")}
	var err error
	s.super, err = New(s.config(), Options{
		Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Kinds:  map[string]gate.Kind{"whim": {Open: s.whim}}, Load: s.load, LeaveSignals: true,
		Upgrade: []string{"check-state"},
	})
	if err != nil {
		s.fault("%v", err)
		return
	}
	s.super.boot = s.system.boot
	go s.run()
	synctest.Wait()
	length := 5 + s.n(60)
	for n := 0; s.running() && n < length+200; n++ {
		if n == length {
			s.finalStop()
		} else {
			s.move()
		}
		synctest.Wait()
		s.pass()
	}
	s.check()
	s.clear()
}

// run keeps a panic of the loop for the report.
func (s *simulation) run() {
	defer func() {
		if r := recover(); r != nil {
			s.fault("the loop panics: %v\n%s", r, debug.Stack())
			s.report <- Report{Code: -1}
		}
	}()
	s.report <- s.super.Run()
}

func (s *simulation) running() bool {
	select {
	case r := <-s.report:
		s.ended = &r
	default:
	}
	return s.ended == nil
}

// pass lets some time pass: often little.
func (s *simulation) pass() {
	limits := []time.Duration{time.Millisecond, 30 * time.Millisecond, 500 * time.Millisecond, 4 * time.Second}
	<-time.After(1 + s.upTo(limits[s.n(len(limits))]))
	synctest.Wait()
}

// cast gives each process its part; it runs in the loop.
func (s *simulation) cast(p *fakeProcess) {
	s.mu.Lock()
	n := len(s.actors)
	s.mu.Unlock()
	a := newActor(newDice(s.seed, uint64(n)+2), p)
	s.mu.Lock()
	s.actors = append(s.actors, a)
	late := !s.stopped.IsZero() && p.channel != nil
	s.mu.Unlock()
	if late {
		s.fault("%s starts after the stop", a.worker)
	}
	go a.play()
}

// move does one thing from outside.
func (s *simulation) move() {
	switch n := s.n(100); {
	case n < 40: // nothing but time
	case n < 70:
		s.operate(s.request())
	case n < 80:
		signals := []syscall.Signal{
			syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGWINCH, syscall.SIGUSR1, syscall.SIGUSR2,
		}
		s.signal(signals[s.n(len(signals))])
	case n < 81: // it is dear: an accept queue is looked at in real time
		s.connect()
	case n < 85:
		s.look()
	case n < 87:
		var refuse error
		if s.one(2) {
			refuse = errors.New("no more processes")
		}
		s.system.mu.Lock()
		s.system.refuse = refuse
		s.system.mu.Unlock()
	}
}

func (s *simulation) say(what string, args ...any) { s.super.log.Info("SIM "+what, args...) }

func (s *simulation) signal(sig syscall.Signal) {
	s.say("signal", "name", unix.SignalName(sig))
	s.super.signals <- sig
}

// request makes up what an operator wants.
func (s *simulation) request() control.Request {
	targets := []string{"", "web", "api", "redis", "web.0", "web.1", "redis.0", "nobody", "web.9", ".", "web.x"}
	r := control.Request{Target: targets[s.n(len(targets))], Now: s.one(4), Hard: s.one(3), Workers: s.n(5), Signal: "USR1"}
	verbs := []string{"stop", "start", "restart", "restart", "reload", "rollback", "drain", "scale", "signal", "upgrade", "sing"}
	if r.Verb = verbs[s.n(len(verbs))]; r.Verb == "stop" && r.Target == "" {
		r.Target = "web.0" // the final one has its own time
	}
	return r
}

// operate has an operator ask for something, who may lose his patience.
func (s *simulation) operate(r control.Request) {
	ctx, cancel := context.WithCancel(context.Background())
	if s.one(5) {
		ctx, cancel = context.WithTimeout(context.Background(), s.upTo(5*time.Second))
	}
	s.mu.Lock()
	s.pending++
	id := len(s.actors)*1000 + s.pending
	s.mu.Unlock()
	s.say("operator", "id", id, "verb", r.Verb, "target", r.Target, "now", r.Now, "hard", r.Hard, "workers", r.Workers)
	s.asking.Go(func() {
		defer cancel()
		var over bool
		v := s.super.Do(ctx, r, func(p []control.Progress) {
			if over || len(p) == 0 {
				s.fault("progress %+v, over: %v", p, over)
			}
		})
		over = true
		s.say("verdict", "id", id, "code", v.Code, "text", v.Text)
		known := []int{control.Done, control.Failed, control.NotRunning, control.NoSuch, control.Cut, control.Died, control.RolledBack}
		if !slices.Contains(known, v.Code) || v.Code != control.Done && v.Text == "" {
			s.fault("%+v: verdict %+v", r, v)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pending--
	})
}

// look has an operator look at all there is.
func (s *simulation) look() {
	s.asking.Go(func() {
		began := time.Now()
		_, _ = s.super.Status(context.Background())
		_, _ = s.super.Inflight(context.Background(), "web")
		// Each may wait for one who is wedged.
		if took := time.Since(began); took > 2*listTimeout {
			s.fault("an operator has looked for %v", took)
		}
	})
}

// connect brings clients, who wait until somebody accepts them.
func (s *simulation) connect() {
	var addresses []string
	s.super.call(context.Background(), func() {
		for _, l := range s.super.listeners {
			addresses = append(addresses, l.Address().Address)
		}
	})
	for _, address := range addresses {
		at := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
		_, _ = fmt.Sscanf(address, "127.0.0.1:%d", &at.Port)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			s.fault("%v", err)
			return
		}
		_ = unix.SetNonblock(fd, true)
		_ = unix.Connect(fd, at) // as far as it gets at once
		unix.Close(fd)
	}
}

// finalStop asks for the end of all, in one of the ways there are.
func (s *simulation) finalStop() {
	switch s.n(4) {
	case 0:
		s.signal(syscall.SIGTERM)
	case 1:
		s.signal(syscall.SIGINT)
	case 2:
		s.operate(control.Request{Verb: "stop"})
	case 3:
		s.operate(control.Request{Verb: "stop", Now: true})
	}
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = time.Now()
}

// whim opens a question that is answered by chance.
func (s *simulation) whim(gate.Spec) (gate.Question, error) {
	if s.one(20) {
		return nil, errors.New("cannot be opened")
	}
	return &whim{s: s}, nil
}

type whim struct {
	s      *simulation
	closed bool
}

func (w *whim) Ask(ctx context.Context) (string, error) {
	switch w.s.n(5) {
	case 0:
		<-ctx.Done()
		return "", ctx.Err()
	case 1:
		return "", errors.New("nobody answers")
	case 2:
		return "the lock", nil
	}
	return "", nil
}

func (w *whim) Close() error {
	if w.closed {
		w.s.fault("a question is closed twice")
	}
	w.closed = true
	return nil
}

// config makes up what is run.
func (s *simulation) config() Config {
	listeners := []Listener{
		{Name: "web", Address: sock.Address{Network: "tcp", Address: "127.0.0.1:0"}},
		{Name: "api", Address: sock.Address{Network: "tcp", Address: "127.0.0.1:0"}},
	}
	redis, web, api := s.program("redis", 1), s.program("web", 1+s.n(3)), s.program("api", 1+s.n(2))
	redis.Gates = nil
	web.Listen, web.DependsOn = []string{"web"}, []string{"redis"}
	api.Listen, api.DependsOn = []string{"web", "api"}, []string{"web"}
	programs := []Program{redis, web, api}[:1+s.n(3)]
	return Config{Name: "sim", Listeners: listeners, Programs: programs}
}

func (s *simulation) program(name string, workers int) Program {
	p := program(name, workers, "part")
	p.ReadyTimeout, p.DrainTimeout, p.StopTimeout, p.MinUptime = 3*time.Second, 3*time.Second, time.Second, time.Second
	p.MaxRestarts, p.RestartWindow, p.MaxSurge, p.MaxDraining = 3+s.n(20), 20*time.Second, s.n(3), s.n(3)
	p.Restart = []string{"always", "always", "on-failure", "never"}[s.n(4)]
	if s.one(3) {
		p.StopCommand = []string{[]string{"/bin/sh", "/no/such/command"}[s.n(2)]}
	}
	if s.one(3) {
		p.Gates = []gate.Spec{{Kind: "whim"}, {Kind: "whim"}}[:1+s.n(2)]
	}
	if s.one(3) {
		p.CloseSignal, p.StopSteps = syscall.SIGWINCH, []StopStep{{time.Second, syscall.SIGINT}}
		p.DrainTimeoutMax = s.upTo(6 * time.Second)
	}
	if s.one(4) {
		p.Ready = &gate.Spec{Kind: "whim"}
	}
	if s.one(2) {
		p.Proven = s.upTo(2 * time.Second)
	}
	if s.one(3) {
		p.Watchdog = 2 * time.Second
	}
	if s.one(3) {
		p.MaxAge, p.MaxAgeJitter = 5*time.Second+s.upTo(20*time.Second), time.Second
	}
	p.MaxMemory = 1 << 30
	return p
}

// load makes up what the configuration has become.
func (s *simulation) load() (Config, error) {
	switch s.n(5) {
	case 0:
		return Config{}, errors.New("line 3: no such key")
	case 1:
		<-time.After(s.upTo(2 * time.Second))
	}
	c := s.config()
	if s.one(3) {
		c.Listeners[s.n(2)].Mode = 0o600 // which makes it another
	}
	if s.one(8) {
		c.Name = "other"
	}
	return c, nil
}
