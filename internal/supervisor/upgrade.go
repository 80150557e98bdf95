package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/guard"
	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
)

// StateVariable is the environment variable by which a supervisor hands its
// state to the executable that takes its place: a descriptor to read it from.
const StateVariable = "LASTCALL_STATE"

// proofTimeout bounds how long the new executable may take to say that it can
// read the state.
const proofTimeout = 10 * time.Second

// An upgrade is the wish to have another executable take the place of this one.
// It waits until no operator waits for an answer, which the other could not
// give.
type upgrade struct {
	refused chan struct{} // closed if it was
	err     error         // why, from then on
	proving bool
}

// wantUpgrade notes the wish; two are one.
func (s *Supervisor) wantUpgrade() *upgrade {
	if s.upgrade == nil {
		s.upgrade = &upgrade{refused: make(chan struct{})}
	}
	return s.upgrade
}

// refuseUpgrade ends the wish.
func (s *Supervisor) refuseUpgrade(err error) {
	s.log.Error("upgrade refused, nothing is changed", "err", err)
	s.upgrade.err = err
	close(s.upgrade.refused)
	s.upgrade = nil
}

// settleUpgrade takes the next step of an upgrade, if there is one and it may
// be taken.
func (s *Supervisor) settleUpgrade() {
	switch {
	case s.upgrade == nil || s.upgrade.proving:
	case s.options.Upgrade == nil:
		s.refuseUpgrade(errors.New("upgrade: only the command lastcall can do that"))
	case s.core.Phase() == pool.Stopping:
		s.refuseUpgrade(errors.New("upgrade: it is stopping"))
	case s.mayUpgrade():
		s.prove()
	}
}

// prove has the new executable read the state as it is now, in a process of its
// own, before this one commits itself.
func (s *Supervisor) prove() {
	h, err := s.save()
	if err != nil {
		s.refuseUpgrade(err)
		return
	}
	text, err := json.Marshal(h)
	if err == nil && !survives(h, text) {
		err = errors.New("the configuration or a worker's environment has text that is not UTF-8")
	}
	if err != nil {
		s.refuseUpgrade(fmt.Errorf("upgrade: write state: %w", err))
		return
	}
	s.upgrade.proving = true
	path, args, prove := s.executable, s.options.Upgrade, s.system.prove
	go func() {
		out, err := prove(path, args, text)
		s.call(context.Background(), func() {
			if err != nil {
				said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
				s.refuseUpgrade(fmt.Errorf("upgrade: %s cannot go on from here: %w: %s", path, err, said))
				return
			}
			s.upgrade.proving = false
			if s.replaceable() {
				s.replaceSelf()
			}
		})
	}()
}

// survives tells whether what workers are started with comes back from JSON as
// it was: a string of other bytes than UTF-8 would not.
func survives(h *handover, text []byte) bool {
	var back handover
	if json.Unmarshal(text, &back) != nil || len(back.Versions) != len(h.Versions) {
		return false
	}
	for i, v := range h.Versions {
		if !reflect.DeepEqual(v.Program, back.Versions[i].Program) {
			return false
		}
	}
	return reflect.DeepEqual(h.Config, back.Config)
}

// prove has an executable read a state, and returns what it says.
func prove(path string, args []string, state []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), proofTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin = bytes.NewReader(state)
	// Whatever it starts ends with it, and holds up nobody.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // there may be nobody
	}
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("it does not say so within %v", proofTimeout)
	case err == nil && !bytes.Contains(out, []byte(proofOf(state))):
		err = errors.New("it does not say so; is it lastcall?")
	}
	return out, err
}

// replaceSelf executes the new executable in the place of this one: same pid,
// children, descriptors, arguments, environment, directory. It returns only if
// that failed, and then goes on as before, or if a client's command came first:
// then the wish stands.
func (s *Supervisor) replaceSelf() {
	defer s.takePending()
	defer s.takeClients()
	if s.answerClients(); !s.replaceable() {
		return
	}
	s.log.Info("upgrading", "executable", s.executable)
	err := s.parkReaders()
	ready := s.replaceable()
	if err == nil && ready {
		err = s.handOver()
	}
	s.thaw()
	if err != nil || ready {
		s.refuseUpgrade(err)
	}
}

// parkTimeout bounds the wait for a reader that passes on a line to somebody
// who does not take it. The loop does nothing else meanwhile.
const parkTimeout = 5 * time.Second

// parkReaders brings all goroutines that read what lives say to a halt: what
// they have taken from the kernel is brought to the loop, and the rest stays
// there.
func (s *Supervisor) parkReaders() error {
	late := time.NewTimer(parkTimeout)
	defer late.Stop()
	for {
		reading := false
		for _, l := range s.lives {
			l.interrupt()
			for _, end := range l.ends {
				select {
				case <-end:
				default:
					reading = reading || s.parked[end] == nil
				}
			}
		}
		if !reading {
			return nil
		}
		select {
		case r := <-s.parking:
			s.parked[r.end] = r.on
		case sig := <-s.signals:
			s.pending = append(s.pending, sig.(syscall.Signal))
			if sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGQUIT {
				return errors.New("upgrade: told to stop")
			}
		case e := <-s.events:
			s.step(e)
		case call := <-s.calls:
			call()
		case <-late.C:
			return errors.New("upgrade: nobody reads what the workers write")
		}
	}
}

// A halted reader goes on when on is closed; end is closed when it has ended.
type halted struct {
	end <-chan struct{}
	on  chan struct{}
}

// parks holds a reader that was interrupted until it may go on, and tells
// whether it does.
func (s *Supervisor) parks(l *life, end <-chan struct{}, err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	on := make(chan struct{})
	select {
	case s.parking <- halted{end, on}:
	case <-l.ctx.Done():
		return false
	}
	select {
	case <-on:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// interrupt makes all reading of what a life says end.
func (l *life) interrupt() {
	past := time.Unix(1, 0)
	if l.channel != nil {
		_ = l.channel.Interrupt() // it fails once the channel is closed
	}
	if l.notify != nil {
		_ = l.notify.SetReadDeadline(past)
	}
	if l.newline != nil {
		_ = l.newline.SetReadDeadline(past)
	}
	for _, st := range l.streams {
		_ = st.pipe.SetReadDeadline(past)
	}
}

// handOver writes the state down and executes.
func (s *Supervisor) handOver() error {
	var processes []process
	var lives []*life
	for _, l := range s.lives {
		if l.process != nil {
			processes, lives = append(processes, l.process), append(lives, l)
		}
	}
	retired, err := s.guard.HandOver()
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	handed, err := s.system.handOver(processes)
	if err != nil {
		s.guard.TakeBack(retired) // nothing is given up yet
		return fmt.Errorf("upgrade: %w", err)
	}
	s.guard.Forget()
	s.retired, s.handedOver = retired, true
	for i, l := range lives {
		l.handed = &handed[i]
	}
	file, err := os.CreateTemp("", "lastcall-state-") // with the descriptor alone once it is unlinked
	if err != nil {
		return fmt.Errorf("upgrade: write state: %w", err)
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("upgrade: write state: %w", err)
	}
	return s.exec(file)
}

func (s *Supervisor) writeState(file *os.File) error {
	for len(s.signals) > 0 {
		s.pending = append(s.pending, (<-s.signals).(syscall.Signal))
	}
	h, err := s.save()
	if err != nil {
		return err
	}
	text, err := json.Marshal(h)
	if err == nil {
		_, err = file.WriteAt(text, 0)
	}
	if err == nil {
		err = file.Truncate(int64(len(text)))
	}
	if err == nil {
		_, err = file.Seek(0, 0)
	}
	if err != nil {
		return fmt.Errorf("upgrade: write state: %w", err)
	}
	return nil
}

// exec writes the state down, and executes with its descriptors open. No other
// child may be forked meanwhile: it would inherit them.
//
// Until the other executable handles signals, some milliseconds, those that Go
// can keep blocked wait. It cannot keep HUP, which would end everything: one
// that comes then is lost (the runtime lets it through before it handles it).
// TERM, INT and QUIT end the process then, and the guard finishes the stop, as
// they want it, from the last look at the signals on. Of the others one that comes
// between that and the exec waits too where this executable was executed so
// itself, since all its threads then block what they do not catch. In the first
// of a row some are open, and it is lost: some microseconds.
func (s *Supervisor) exec(file *os.File) error {
	s.options.Parent.Flush()
	h, err := s.save()
	if err != nil {
		return err
	}
	defer proc.BlockSignals(s.handled())()
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	keep := append(h.descriptors(), raw(file))
	defer func() {
		for _, fd := range keep {
			_ = closeOnExec(fd, true)
		}
	}()
	for _, fd := range keep {
		if err := closeOnExec(fd, false); err != nil {
			return fmt.Errorf("upgrade: keep descriptor %d: %w", fd, err)
		}
	}
	env := append(without(os.Environ(), StateVariable), fmt.Sprintf("%s=%d", StateVariable, raw(file)))
	env = append(env, s.options.Parent.Environment()...)
	defer s.catchSignals()
	if !s.options.LeaveSignals {
		// From here on these end the process, and the guard finishes the
		// stop: caught by a program that is about to go they would mean
		// nothing.
		defer proc.DefaultSignals(syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)()
	}
	if err := s.lastLook(file); err != nil {
		return err
	}
	if !s.options.LeaveSignals {
		signal.Ignore(syscall.SIGHUP)
	}
	return fmt.Errorf("upgrade: execute %s: %w", s.executable, s.system.exec(s.executable, os.Args, env))
}

// lastLook writes the state down with the signals that have come, and catches
// none from then on.
func (s *Supervisor) lastLook(file *os.File) error {
	for {
		if err := s.writeState(file); err != nil {
			return err
		}
		signal.Stop(s.signals) // it waits for those that the runtime has taken and not brought yet
		if len(s.signals) == 0 {
			return nil
		}
		s.catchSignals()
	}
}

// thaw goes on where parkReaders and handOver have stopped, however far they
// came.
func (s *Supervisor) thaw() {
	if s.handedOver {
		sys, err := s.boot()
		if err != nil {
			panic("supervisor: watch processes: " + err.Error()) // it could at the start; the guard goes on
		}
		sys.spare(s.system.spared())
		s.system = sys
	}
	for _, l := range s.lives {
		s.thawLife(l)
	}
	s.guardAnew()
	for _, on := range s.parked {
		close(on)
	}
	clear(s.parked)
}

// guardAnew starts a guard in the place of one that was handed over.
func (s *Supervisor) guardAnew() {
	if !s.handedOver {
		return
	}
	s.startGuard()
	for _, l := range s.lives {
		s.guardAgain(l)
	}
	for _, p := range s.core.Snapshot().Programs {
		for _, slot := range p.Slots {
			for _, v := range slot.Lives {
				s.lives[v.ID].turn(v)
			}
		}
	}
	guard.Retire(s.retired)
	s.retired, s.handedOver = guard.Handover{Pidfd: -1, Link: -1}, false
}

// thawLife goes on with one life.
func (s *Supervisor) thawLife(l *life) {
	if h := l.handed; h != nil {
		l.handed = nil
		p, err := s.system.adopt(*h)
		if err != nil {
			s.log.Error("adopt", "worker", l.id.Worker(), "err", err)
			s.queue = append(s.queue, pool.Gone{ID: l.id, Exit: pool.Exit{Code: -1}})
			return
		}
		l.process = p
		go s.watch(l, p, l.spokeEnd, l.said)
	}
	s.resumeReading(l)
}

func (s *Supervisor) resumeReading(l *life) {
	if l.channel != nil {
		_ = l.channel.Resume()
	}
	if l.notify != nil {
		_ = l.notify.SetReadDeadline(time.Time{})
	}
	if l.newline != nil {
		_ = l.newline.SetReadDeadline(time.Time{})
	}
	for _, st := range l.streams {
		_ = st.pipe.SetReadDeadline(time.Time{})
	}
}

// doUpgrade carries out the operator's wish. If it comes true this process has
// another executable before it could answer.
func (s *Supervisor) doUpgrade(ctx context.Context) control.Verdict {
	var u *upgrade
	if !s.call(ctx, func() { u = s.wantUpgrade() }) {
		return control.Verdict{Code: control.NotRunning, Text: "the supervisor has stopped"}
	}
	select {
	case <-u.refused:
		return control.Verdict{Code: control.Failed, Text: u.err.Error()}
	case <-s.done:
		return control.Verdict{Code: control.NotRunning, Text: "the supervisor has stopped"}
	case <-ctx.Done():
		return control.Verdict{Code: control.Failed, Text: ctx.Err().Error()}
	}
}

// ownPath is where this process's executable was found, and a new one will be:
// the name it was called by, which may be a link that will lead elsewhere, as
// long as that is how it was found; /proc/self/exe follows a file that is moved.
func ownPath() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	if called, err := exec.LookPath(os.Args[0]); err == nil {
		a, errA := os.Stat(called)
		b, errB := os.Stat("/proc/self/exe")
		if abs, err := filepath.Abs(called); err == nil && errA == nil && errB == nil && os.SameFile(a, b) {
			return abs, nil
		}
	}
	return strings.TrimSuffix(exe, " (deleted)"), nil
}

func without(env []string, name string) []string {
	out := make([]string, 0, len(env))
	for _, kv := range env {
		if !strings.HasPrefix(kv, name+"=") {
			out = append(out, kv)
		}
	}
	return out
}
