package supervisor

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/lastcall/lastcall/internal/pool"
)

// A readyLine is the line of a life's output that tells that it is ready; nil:
// none does.
type readyLine struct {
	pattern *regexp.Regexp
	seen    atomic.Bool // by either stream
}

// awaitLine has a life be ready by a line, if that is how it tells.
func (l *life) awaitLine() error {
	if l.program.Ready != nil || l.program.ReadyBy.Sign != LineMatch {
		return nil
	}
	pattern, err := regexp.Compile(l.variables().Replace(l.program.ReadyBy.Line))
	if err != nil { // what was put into it has made it another
		return fmt.Errorf("read ready of %s: %w", l.program.Name, err)
	}
	l.line = &readyLine{pattern: pattern}
	return nil
}

// is tells whether a line is the one, the first time. What has no newline is no
// line: it is too long for one, or the process has ended in its midst.
func (r *readyLine) is(line string) bool {
	if r == nil || r.seen.Load() || !strings.HasSuffix(line, "\n") {
		return false
	}
	return r.pattern.MatchString(strings.TrimRight(line, "\r\n")) && r.seen.CompareAndSwap(false, true)
}

// awaited tells whether it has not come yet.
func (r *readyLine) awaited() bool { return r != nil && !r.seen.Load() }

// wrote looks at a line that a life has written.
func (s *Supervisor) wrote(l *life, line string) {
	if l.line.is(line) {
		s.call(l.ctx, func() { s.step(pool.Ready{ID: l.id}) })
	}
}
