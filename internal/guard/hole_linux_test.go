package guard

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/proc"
)

// playBreeder starts lives as fast as it can, until it is killed.
func playBreeder() error {
	c, err := proc.NewChildren()
	if err != nil {
		return err
	}
	os.Unsetenv(roleVariable)
	g := Start(c, os.Environ(), "", slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	r := rule("web")
	r.KillAfter = 10 * time.Second
	for {
		if _, _, err := (part{Rule: r, Script: "exec sleep 600"}).start(c, g); err != nil {
			return err
		}
	}
}

// Wherever a supervisor is killed while it starts processes, none is left: not
// one that was forked and not told of, and not one that was told of and not
// let go.
func TestNoHole(t *testing.T) {
	t.Parallel()
	const rounds = 120
	for range rounds {
		s := play(t, "breeder")
		s.line()
		delay := time.Duration(rand.IntN(20_000)) * time.Microsecond
		<-time.After(delay)
		s.ended()
		_ = s.cmd.Wait()
		if t.Failed() {
			return
		}
	}
}
