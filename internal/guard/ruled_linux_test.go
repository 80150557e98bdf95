package guard

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
)

// playRuler has a life that nothing ends by its first rule, and gives it
// another, again and again, until it is killed.
func playRuler() error {
	c, err := proc.NewChildren()
	if err != nil {
		return err
	}
	os.Unsetenv(roleVariable)
	g := Start(c, os.Environ(), "", slog.New(slog.NewTextHandler(os.Stderr, nil)))
	r := rule("web")
	r.StopSignal = syscall.SIGWINCH // which sleep ignores
	_, life, err := (part{Rule: r, Script: "exec sleep 600"}).start(c, g)
	if err != nil {
		return err
	}
	r.StopSignal = syscall.SIGTERM
	life.Ruled(r)
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	for {
		life.Ruled(r)
	}
}

// Wherever a supervisor is killed while it changes how a life is to be stopped,
// the life is stopped, by the new rule.
func TestRuled(t *testing.T) {
	t.Parallel()
	const rounds = 40
	for range rounds {
		s := play(t, "ruler")
		s.line()
		<-time.After(time.Duration(rand.IntN(5_000)) * time.Microsecond)
		s.ended()
		_ = s.cmd.Wait()
		if t.Failed() {
			return
		}
	}
}
