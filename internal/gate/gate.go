// Package gate asks questions of the outside world: exit gates, asked before a
// worker may end ("is the set of locks empty?"), and readiness probes, asked
// before a worker counts as serving ("does it answer on its port?"). Both are
// the same thing, a question that is repeated until the answer is go.
//
// A question that cannot be asked is answered "not yet": an error, a hang and a
// panic never mean go, and never end the asking. Who asks sets the limit.
package gate

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Spec is one question, as configured. It is plain data.
type Spec struct {
	Kind   string            // "exec", "file", "http", "tcp", or one that a caller adds, as "redis"
	Target string            // URL, address or path; for exec the command joined by spaces, for people
	Args   []string          // exec: the command and its arguments
	Keys   map[string]string // the kind's own keys, as "sorted_set": "locks:{worker}"

	// Gate says which way the question is asked: true before a worker may end
	// (go when a file or a collection is absent or empty), false as a probe of
	// readiness (go when it is there).
	Gate bool

	Every   time.Duration // from one asking to the next; 0: the caller's choice, 1 s for gates
	Timeout time.Duration // of one asking; 0: 2 s
}

// Expand returns a copy with {worker}, {slot}, {program} and whatever else r
// replaces put into Target, Args and the values of Keys.
func (s Spec) Expand(r *strings.Replacer) Spec {
	s.Target = r.Replace(s.Target)
	s.Args = slices.Clone(s.Args)
	for i, a := range s.Args {
		s.Args[i] = r.Replace(a)
	}
	s.Keys = maps.Clone(s.Keys)
	for k, v := range s.Keys {
		s.Keys[k] = r.Replace(v)
	}
	return s
}

// String names the question for people: "redis locks:web.2",
// "http://127.0.0.1:80/ready", "exec ./check now". User, password and query of
// a URL are left out: they may be secrets.
func (s Spec) String() string {
	if len(s.Keys) > 0 {
		values := make([]string, 0, len(s.Keys))
		for _, k := range slices.Sorted(maps.Keys(s.Keys)) {
			values = append(values, s.Keys[k])
		}
		return s.Kind + " " + strings.Join(values, " ")
	}
	target := WithoutSecrets(s.Target)
	if strings.HasPrefix(target, s.Kind) && strings.Contains(target, "://") {
		return target // "https://...": the kind is said already
	}
	return s.Kind + " " + target
}

// WithoutSecrets returns a URL without its user, password and query, and any
// other text as it is. It does not parse: a URL that is no URL, since a
// password in it has a bare slash, must not show that password either.
func WithoutSecrets(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	rest, _, _ = strings.Cut(rest, "?")
	return scheme + "://" + rest
}

// A Question is one Spec made ready to be asked. Its methods are not called
// concurrently, with one exception: Close may come while an Ask that overran
// its context is still running.
type Question interface {
	// Ask asks once. "" and nil mean go; a text says what is waited for; an
	// error means that nobody could say. It should return soon after ctx ends.
	Ask(ctx context.Context) (waitingFor string, err error)
	// Close releases what Open took. Ask is not called after it.
	Close() error
}

// Kind is one way of asking.
type Kind struct {
	Name  string
	Gate  bool     // may be an exit gate
	Probe bool     // may be a readiness probe
	Keys  []string // the kind's own keys besides its name, "every" and "timeout"

	// Check says what is wrong with a Spec that is expanded, without asking
	// anything. Its error is one line and shows no secret.
	Check func(Spec) error
	// Open makes a Spec that has been checked and expanded ready to be asked.
	// It does not ask, nor wait for anything.
	Open func(Spec) (Question, error)
}

// Kinds returns the kinds that need nothing but the standard library, by name:
// "exec", "file", "http" and "tcp". The map is the caller's, to add others to.
func Kinds() map[string]Kind {
	kinds := map[string]Kind{}
	for _, k := range []Kind{execKind(), fileKind(), httpKind(), tcpKind()} {
		kinds[k.Name] = k
	}
	return kinds
}
