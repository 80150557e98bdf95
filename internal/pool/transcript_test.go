package pool

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the transcripts")

// TestTranscripts replays testdata/*.txt. A line "program NAME key=value..."
// declares a program, or changes it for the next reload, and "without NAME"
// leaves one out of it; a line "> EVENT" is one event, or "> +DURATION" lets time
// pass, deadline by deadline, and "> wait DURATION" unseen by the core; the
// lines below it are the actions that follow.
func TestTranscripts(t *testing.T) { checkTranscripts(t, func(p *Pool) *Pool { return p }) }

// checkTranscripts replays them; carry is called after each step.
func checkTranscripts(t *testing.T, carry func(*Pool) *Pool) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, want, carry)
			if *update && t.Name() == "TestTranscripts/"+filepath.Base(strings.TrimSuffix(file, ".txt")) {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// A stage plays one transcript.
type stage struct {
	t        *testing.T
	programs []Program
	pool     *Pool
	began    time.Time
	now      time.Time
	out      bytes.Buffer
	carry    func(*Pool) *Pool
}

func replay(t *testing.T, text []byte, carry func(*Pool) *Pool) []byte {
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &stage{t: t, began: began, now: began, carry: carry}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&s.out, line)
			s.play(strings.Fields(line[2:]))
		case strings.HasPrefix(line, "program "), strings.HasPrefix(line, "without "):
			fmt.Fprintln(&s.out, line)
			s.declare(strings.Fields(line))
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&s.out, line)
		}
	}
	return s.out.Bytes()
}

// declare takes a line that changes the configuration.
func (s *stage) declare(words []string) {
	i := slices.IndexFunc(s.programs, func(p Program) bool { return p.Name == words[1] })
	switch {
	case words[0] == "without" && i >= 0:
		s.programs = slices.Delete(slices.Clone(s.programs), i, i+1)
	case words[0] == "without":
	case i >= 0:
		s.programs = slices.Clone(s.programs)
		s.programs[i] = s.parseProgram(words[1:])
	default:
		s.programs = append(slices.Clone(s.programs), s.parseProgram(words[1:]))
	}
}

func (s *stage) parseProgram(words []string) Program {
	p := Program{
		Name: words[0], Workers: 1, StopSignal: 15, ReadyTimeout: time.Minute, DrainTimeout: 10 * time.Second,
		UnwindTimeout: 200 * time.Millisecond, StopTimeout: 5 * time.Second,
		MaxRestarts: 3, RestartWindow: time.Minute, MaxSurge: 1,
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "workers":
			p.Workers = s.number(value)
		case "listen":
			p.Listeners = strings.Split(value, ",")
		case "depends_on":
			p.DependsOn = strings.Split(value, ",")
		case "ports":
			p.Ports = true
		case "most":
			p.MostWorkers = s.number(value)
		case "gated":
			p.Gated = true
		case "stop_command":
			p.StopCommand = true
		case "max_surge":
			p.MaxSurge = s.number(value)
		case "max_draining":
			p.MaxDraining = s.number(value)
		case "close_signal":
			p.CloseSignal = true
		case "drain_max":
			p.DrainMax = s.duration(value)
		case "stop_signal": // 3,2s,15
			list := strings.Split(value, ",")
			p.StopSignal = s.number(list[0])
			for i := 1; i+1 < len(list); i += 2 {
				p.StopSteps = append(p.StopSteps, StopStep{s.duration(list[i]), s.number(list[i+1])})
			}
		case "restart":
			p.Restart = RestartPolicy(value)
		case "min_uptime":
			p.MinUptime = s.duration(value)
		case "max_age":
			p.MaxAge = s.duration(value)
		case "max_age_jitter":
			p.MaxAgeJitter = s.duration(value)
		case "lame_duck":
			p.LameDuck = s.duration(value)
		case "watchdog":
			p.Watchdog = s.duration(value)
		default:
			s.t.Fatalf("unknown key %q", key)
		}
	}
	return p
}

func (s *stage) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stage) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *stage) play(words []string) {
	if s.pool == nil {
		s.pool = New(s.programs, 1)
	}
	if d, ok := strings.CutPrefix(words[0], "+"); ok {
		s.pass(s.now.Add(s.duration(d)))
		return
	}
	if words[0] == "wait" {
		s.now = s.now.Add(s.duration(words[1]))
		return
	}
	s.step(s.parse(words), "")
}

// pass lets time pass up to a moment.
func (s *stage) pass(until time.Time) {
	for {
		d, ok := s.pool.Deadline()
		if !ok || d.After(until) {
			break
		}
		s.now = d
		s.step(Tick{}, fmt.Sprintf("at %v ", d.Sub(s.began)))
	}
	s.now = until
}

func (s *stage) step(e Event, prefix string) {
	for _, a := range s.pool.Step(s.now, e) {
		fmt.Fprintf(&s.out, "%s%s\n", prefix, render(a))
	}
	s.pool = s.carry(s.pool)
	if d, ok := s.pool.Deadline(); ok && !d.After(s.now) {
		s.t.Errorf("after %#v the deadline is %v ago", e, s.now.Sub(d))
	}
}

func (s *stage) id(text string) ID {
	var id ID
	name, life, ok := strings.Cut(text, "#")
	program, slot, ok2 := strings.Cut(name, ".")
	if !ok || !ok2 {
		s.t.Fatalf("%q is not a life", text)
	}
	id.Program, id.Slot, id.Life = program, s.number(slot), s.number(life)
	return id
}

func (s *stage) target(text string) (string, int) {
	name, slot, ok := strings.Cut(text, ".")
	switch {
	case name == "all":
		return "", -1
	case !ok:
		return name, -1
	}
	return name, s.number(slot)
}

func (s *stage) parse(w []string) Event {
	arg := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	switch w[0] {
	case "begin":
		return Begin{}
	case "tick":
		return Tick{}
	case "hello":
		return Hello{s.id(w[1]), arg(2) == "moves"}
	case "ready":
		return Ready{s.id(w[1])}
	case "alive":
		return Alive{s.id(w[1])}
	case "hung":
		return Hung{s.id(w[1])}
	case "watch":
		return Watch{s.id(w[1]), s.duration(w[2])}
	case "extend":
		return Extend{s.id(w[1]), s.duration(w[2])}
	case "ending":
		return Ending{s.id(w[1])}
	case "busy":
		return Busy{s.id(w[1]), arg(2) != "no"}
	case "worn":
		return Worn{s.id(w[1]), w[2]}
	case "closed":
		return Closed{s.id(w[1]), w[2:]}
	case "drained":
		cut := 0
		if len(w) > 2 {
			cut = s.number(w[2])
		}
		return Drained{s.id(w[1]), cut}
	case "lost":
		return Lost{s.id(w[1]), s.id(w[2])}
	case "quiet":
		return Quiet{s.id(w[1])}
	case "gate_open":
		return GateOpen{s.id(w[1])}
	case "command_failed":
		return CommandFailed{s.id(w[1])}
	case "exited":
		return Exited{s.id(w[1])}
	case "gone":
		var e Exit
		if sig, ok := strings.CutPrefix(arg(2), "signal="); ok {
			e.Signal = s.number(sig)
		} else if arg(2) != "" {
			e.Code = s.number(arg(2))
		}
		return Gone{ID: s.id(w[1]), Exit: e, Missed: arg(3) == "missed"}
	case "quiesced":
		return Quiesced{w[1]}
	}
	return s.parseCommand(w, arg)
}

func (s *stage) parseCommand(w []string, arg func(int) string) Event {
	token := s.number(w[1])
	name, slot := s.target(w[2])
	switch w[0] {
	case "stop":
		return Stop{token, name, slot, arg(3) == "now"}
	case "start":
		return Start{token, name, slot}
	case "restart":
		return Restart{token, name, slot, arg(3) == "hard"}
	case "scale":
		return Scale{token, name, s.number(w[3])}
	case "reload":
		return Reload{token, slices.Clone(s.programs), w[3:]}
	case "rollback":
		return Rollback{token, name}
	}
	s.t.Fatalf("unknown event %q", w[0])
	return nil
}

func render(a Action) string {
	switch a := a.(type) {
	case Spawn:
		return fmt.Sprintf("spawn %s generation %d", a.ID, a.Generation)
	case Ask:
		text := strings.TrimSuffix(fmt.Sprintf("ask %s %s %v hold=%v", a.ID, a.Reason, a.Timeout, a.Hold), " hold=false")
		return strings.TrimSuffix(fmt.Sprintf("%s move=%v", text, a.Move), " move=false")
	case Introduce:
		return fmt.Sprintf("introduce %s to %s", a.From, a.To)
	case Lame:
		return "lame " + a.ID.String()
	case AskGate:
		return "ask_gate " + a.ID.String()
	case RunStopCommand:
		return "run_stop_command " + a.ID.String()
	case Close:
		return "close_signal " + a.ID.String()
	case Signal:
		return strings.TrimSuffix(fmt.Sprintf("signal %s %d", a.ID, a.Signal), " 15")
	case PutOff:
		return "  put off " + a.ID.String()
	case Cut:
		return "cut " + a.ID.String()
	case Quit:
		return "quit " + a.ID.String()
	case Abort:
		return "abort " + a.ID.String()
	case Kill:
		return "kill " + a.ID.String()
	case Quiesce:
		return "quiesce " + a.Listener
	case CloseListener:
		return "close " + a.Listener
	case Became:
		return strings.TrimSuffix(fmt.Sprintf("  %s is %s: %s", a.ID, a.State, a.Why), ": ")
	case Backoff:
		return fmt.Sprintf("  %s.%d waits %v after crash %d", a.Program, a.Slot, a.Delay, a.Crashes)
	case GaveUp:
		return fmt.Sprintf("  %s.%d gave up", a.Program, a.Slot)
	case Ended:
		return fmt.Sprintf("  %s.%d ended, failed=%v", a.Program, a.Slot, a.Failed)
	case Recycling:
		return fmt.Sprintf("  %s is to be replaced: %s", a.ID, a.Why)
	case Removed:
		return "  removed " + a.Program
	case Up:
		return "  up " + a.Program
	case AllUp:
		return "  all up"
	case Rolled:
		return fmt.Sprintf("  rolled %s: %s", a.Program, renderVerdict(a.Verdict))
	case Ignored:
		return fmt.Sprintf("  ignored %T", a.Event)
	case Reply:
		return fmt.Sprintf("reply %d %s", a.Token, renderVerdict(a.Verdict))
	case Finish:
		return "finish " + renderVerdict(a.Verdict)
	}
	panic(fmt.Sprintf("no rendering of %T", a))
}

func renderVerdict(v Verdict) string {
	s := v.Outcome.String()
	if v.Text != "" {
		s += " (" + v.Text + ")"
	}
	return s
}
