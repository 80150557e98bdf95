// Package demo drives siege under lastcall: load, two rolling restarts, a stop
// with a job in progress. It looks at everything from outside, as an operator
// and a client would, and reports what was lost.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lastcall/lastcall/examples/siege/load"
)

// Config is what the demo needs. No field has a default.
type Config struct {
	Lastcall string        // path of the lastcall command
	Siege    string        // path of the siege command
	TOML     string        // the configuration, with ports 8080 and 4740
	Between  time.Duration // load before, between and after the restarts
	Out      io.Writer     // for the report
}

// The jobs under load are short, so that many are in progress when a worker is
// replaced; the last one takes two seconds.
const (
	steps    = 5
	step     = 50 * time.Millisecond
	lastPath = "/work/last?steps=10&step=0.2"
	last     = 10 // parts of the last job
)

// Run runs the demo and writes its report. It returns an error if it could not
// be carried out, or if anything was lost or left running. If ctx ends, it
// stops early.
func Run(ctx context.Context, c Config) error {
	dir, err := os.MkdirTemp("", "siege-demo-")
	if err != nil {
		return fmt.Errorf("prepare demo: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &drama{Config: c, dir: dir}
	if err := d.prepare(); err != nil {
		return fmt.Errorf("prepare demo: %w", err)
	}
	if err := d.play(ctx); err != nil {
		return fmt.Errorf("run demo: %w\nthe log of the supervisor:\n%s", err, d.log())
	}
	if faults := d.report(); len(faults) > 0 {
		return fmt.Errorf("the demo has faults:\n  %s\nthe log of the supervisor:\n%s", strings.Join(faults, "\n  "), d.log())
	}
	return nil
}

// A drama is one run of the demo and what was seen of it.
type drama struct {
	Config
	dir  string
	addr string

	supervisor *supervisor
	begin      time.Time
	load       load.Kinds
	restarts   []restart
	answer     string    // of the last job
	answered   time.Time // when it came
	endings    []ending
	code       int // exit code of the supervisor
}

type restart struct {
	took time.Duration
	err  error
}

// prepare fills the folder that the supervisor runs in, with free ports in
// place of those of the configuration.
func (d *drama) prepare() error {
	web, err := freePort()
	if err != nil {
		return err
	}
	redis, err := freePort()
	if err != nil {
		return err
	}
	d.addr = "127.0.0.1:" + web
	text := strings.NewReplacer("127.0.0.1:8080", d.addr, "4740", redis).Replace(d.TOML)
	if err := os.WriteFile(filepath.Join(d.dir, "lastcall.toml"), []byte(text), 0o666); err != nil {
		return err
	}
	return os.Symlink(d.Siege, filepath.Join(d.dir, "siege"))
}

// freePort asks the kernel for one. Somebody else may take it before we do:
// then the demo does not start, and says so.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// play runs from the start of the supervisor to its end.
func (d *drama) play(ctx context.Context) error {
	s, err := start(d.Lastcall, d.dir)
	if err != nil {
		return err
	}
	defer s.end()
	d.supervisor, d.begin = s, time.Now()
	if err := s.ready(ctx); err != nil {
		return err
	}
	d.say("%d workers serve %s", len(s.workers), d.addr)
	if err := d.restartUnderLoad(ctx); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil { // the workers of now, to watch their end
		return err
	}
	return d.stopWithJob(ctx)
}

// restartUnderLoad restarts twice while clients send.
func (d *drama) restartUnderLoad(ctx context.Context) error {
	during, stop := context.WithCancel(ctx)
	defer stop()
	loaded := make(chan load.Kinds, 1)
	go func() {
		loaded <- load.Run(during, load.Config{
			Addr: d.addr, KeepAlive: 4, Single: 4, Jobs: 4,
			Steps: steps, Step: step, Think: time.Millisecond,
		})
	}()
	for i := range 2 {
		wait(ctx, d.Between)
		d.say("restart %d", i+1)
		began := time.Now()
		err := d.supervisor.verb(ctx, "restart")
		d.restarts = append(d.restarts, restart{took: time.Since(began), err: err})
	}
	wait(ctx, d.Between)
	stop()
	d.load = <-loaded
	return ctx.Err()
}

// stopWithJob stops everything while a job of two seconds is in progress.
func (d *drama) stopWithJob(ctx context.Context) error {
	type answer struct {
		body string
		at   time.Time
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		conn := &load.Conn{Addr: d.addr, Timeout: 20 * time.Second}
		defer conn.Close()
		body, err := conn.Do("POST", lastPath)
		answered <- answer{body, time.Now(), err}
	}()
	begun := func() (bool, error) {
		_, err := os.Stat(filepath.Join(d.dir, "siege_data", "last.part"))
		return err == nil, nil
	}
	if err := poll(ctx, 10*time.Second, begun); err != nil {
		return fmt.Errorf("begin a job: %w", err)
	}
	watch, err := watchEndings(d.supervisor.tree())
	if err != nil {
		return err
	}
	d.say("stop, with a job of 2 s in progress")
	stopErr := d.supervisor.verb(ctx, "stop")
	a := <-answered
	d.answer, d.answered = strings.TrimSpace(a.body), a.at
	if d.code, err = d.supervisor.wait(ctx); err != nil {
		return err
	}
	// The supervisor is the last to end: what is left now is left behind.
	d.endings = watch(2 * time.Second)
	if a.err != nil {
		d.answer = a.err.Error()
	}
	if stopErr != nil {
		return fmt.Errorf("stop: %w", stopErr)
	}
	return nil
}

func (d *drama) say(format string, a ...any) {
	fmt.Fprintf(d.Out, "%6.2f s  %s\n", time.Since(d.begin).Seconds(), fmt.Sprintf(format, a...))
}

func (d *drama) log() string {
	b, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// wait returns after t, or when ctx ends.
func wait(ctx context.Context, t time.Duration) {
	select {
	case <-time.After(t):
	case <-ctx.Done():
	}
}

var errTooLong = errors.New("took too long")

// poll asks until the answer is yes or an error, or limit has passed.
func poll(ctx context.Context, limit time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooLong)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
