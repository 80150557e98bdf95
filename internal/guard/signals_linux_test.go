package guard

import (
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A life has each of its stop signals in turn, and its close signal before them.
func TestSignalsInTurn(t *testing.T) {
	t.Parallel()
	r := rule("web")
	r.CloseSignal, r.CloseMoment, r.CloseTimeout = syscall.SIGUSR1, 100*time.Millisecond, time.Hour
	r.StopSignal = syscall.SIGINT
	r.StopSteps = []Step{{100 * time.Millisecond, syscall.SIGUSR2}, {100 * time.Millisecond, syscall.SIGTERM}}
	s := stage(t, part{Rule: r, Script: notes(0, "USR1", "INT", "USR2", "TERM")})
	if took := s.ended(); took < 300*time.Millisecond {
		t.Errorf("ended after %v", took)
	}
	if diff := cmp.Diff([]string{"USR1 0", "INT 0", "USR2 0", "TERM 0"}, s.deeds()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What the supervisor has sent is not sent again: the guard goes on where it was.
func TestSignalsGoOn(t *testing.T) {
	t.Parallel()
	short, long := 100*time.Millisecond, time.Hour
	r := rule("web")
	r.StopSignal, r.StopSteps = syscall.SIGINT, []Step{{long, syscall.SIGUSR2}, {long, syscall.SIGTERM}}
	s := stage(t, part{Rule: r, Script: notes(0, "INT", "USR2", "TERM"), Told: &long, Next: &short})
	s.ended()
	if diff := cmp.Diff([]string{"TERM 0"}, s.deeds()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The last signal is followed by the kill, at its time.
func TestKillAfterTheLastSignal(t *testing.T) {
	t.Parallel()
	r := rule("web")
	r.KillAfter, r.StopSteps = 500*time.Millisecond, []Step{{100 * time.Millisecond, syscall.SIGINT}, {time.Hour, syscall.SIGUSR2}}
	s := stage(t, part{Rule: r, Script: notes(0, "TERM", "INT", "USR2")})
	if took := s.ended(); took < r.KillAfter {
		t.Errorf("killed after %v, before its %v were over", took, r.KillAfter)
	}
	if diff := cmp.Diff([]string{"TERM 0", "INT 0"}, s.deeds()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A life that has work has the time for it that it was given, since nobody hears
// when it has done; one without is asked as soon as it has closed its listener,
// and neither is told twice to do that.
func TestCloseSignalWasSent(t *testing.T) {
	t.Parallel()
	short, long := 700*time.Millisecond, time.Hour
	r := rule("web")
	r.CloseSignal, r.CloseMoment, r.CloseTimeout = syscall.SIGUSR1, 50*time.Millisecond, long
	s := stage(t,
		part{Rule: r, Script: notes(0, "USR1", "TERM"), Closing: &short, Busy: true},
		part{Rule: r, Script: notes(1, "USR1", "TERM"), Closing: &long},
	)
	if took := s.ended(); took < short/2 {
		t.Errorf("ended after %v", took)
	}
	if diff := cmp.Diff([]string{"TERM 1", "TERM 0"}, s.deeds()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// One that is busy and has not been told to close is told, and given its time.
func TestCloseSignalOfTheBusy(t *testing.T) {
	t.Parallel()
	r := rule("web")
	r.CloseSignal, r.CloseMoment, r.CloseTimeout = syscall.SIGUSR1, time.Millisecond, 500*time.Millisecond
	s := stage(t, part{Rule: r, Script: notes(0, "USR1", "TERM"), Busy: true})
	if took := s.ended(); took < r.CloseTimeout {
		t.Errorf("ended after %v", took)
	}
	if diff := cmp.Diff([]string{"USR1 0", "TERM 0"}, s.deeds()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
