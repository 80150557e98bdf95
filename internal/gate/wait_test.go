package gate

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a Question that answers from a list, the last entry for ever.
type script struct {
	answers []func(context.Context) (string, error)
	asked   []time.Time
	running int
	overlap bool
}

func (s *script) Ask(ctx context.Context) (string, error) {
	s.running++
	defer func() { s.running-- }()
	s.overlap = s.overlap || s.running > 1
	i := min(len(s.asked), len(s.answers)-1)
	s.asked = append(s.asked, time.Now())
	return s.answers[i](ctx)
}

func (s *script) Close() error { return nil }

func says(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, nil }
}

func fails(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return "", errors.New(text) }
}

func TestWait(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []func(context.Context) (string, error)
		reports []string
	}{
		{"go at once", []func(context.Context) (string, error){says("")}, nil},
		{"reports a change only", []func(context.Context) (string, error){says("a"), says("a"), says("b"), says("")}, []string{"a", "b"}},
		{"an error is not yet", []func(context.Context) (string, error){fails("refused"), says("")}, []string{"cannot ask: refused"}},
		{"an error without words", []func(context.Context) (string, error){fails(""), says("")}, []string{"cannot ask:"}},
		{"a text of nothing", []func(context.Context) (string, error){says(" \n"), says("")}, []string{"something it does not name"}},
		{"one line", []func(context.Context) (string, error){says("\n a\tb \x1b[1m\nc"), says("")}, []string{"a b  [1m"}},
		{"a panic is not yet", []func(context.Context) (string, error){
			func(context.Context) (string, error) { panic("no\nmap") }, says(""),
		}, []string{"the question panicked: no"}},
		{"a goroutine's end is not yet", []func(context.Context) (string, error){
			func(context.Context) (string, error) { runtime.Goexit(); return "", nil }, says(""),
		}, []string{"the question did not return"}},
		{"a hang is not yet", []func(context.Context) (string, error){
			func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }, says(""),
		}, []string{"no answer within 2s"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &script{answers: test.answers}
				var reports []string
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				err := Wait(ctx, q, 0, 0, func(s string) { reports = append(reports, s) })
				if err != nil {
					t.Errorf("Wait = %v, want nil", err)
				}
				if !slices.Equal(reports, test.reports) {
					t.Errorf("reports %q, want %q", reports, test.reports)
				}
				if len(q.asked) != len(test.answers) {
					t.Errorf("asked %d times, want %d", len(q.asked), len(test.answers))
				}
				if !q.asked[0].Equal(start) {
					t.Error("not asked at once")
				}
			})
		})
	}
}

func TestWaitAsksAtItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &script{answers: []func(context.Context) (string, error){says("x"), says("x"), says("x"), says("")}}
		start := time.Now()
		if err := Wait(t.Context(), q, 3*time.Second, 0, nil); err != nil {
			t.Fatal(err)
		}
		for i, at := range q.asked {
			if want := time.Duration(i) * 3 * time.Second; at.Sub(start) != want {
				t.Errorf("asking %d came after %v, want %v", i, at.Sub(start), want)
			}
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		q := &script{answers: []func(context.Context) (string, error){says("locks: a")}}
		start := time.Now()
		if err := Wait(ctx, q, time.Second, 0, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v, want the context's error", err)
		}
		if took := time.Since(start); took != 10*time.Second+time.Millisecond {
			t.Errorf("took %v: the limit is a limit", took)
		}
		if len(q.asked) != 11 {
			t.Errorf("asked %d times in 10 s, want 11", len(q.asked))
		}
		if err := Wait(ctx, q, time.Second, 0, nil); !errors.Is(err, context.DeadlineExceeded) || len(q.asked) != 11 {
			t.Errorf("asked again (%d), or Wait = %v, after the end", len(q.asked), err)
		}
	})
}

// A question that ignores its context must neither hold Wait nor be asked a
// second time while the first is out, and its late answer is about the past.
func TestWaitOutlastsAHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stuck := func(context.Context) (string, error) { <-release; return "", nil }
		q := &script{answers: []func(context.Context) (string, error){stuck, says("still busy"), says("")}}
		var reports []string
		start := time.Now()
		// Not at the moment an asking ends: both would be right then.
		time.AfterFunc(time.Minute+300*time.Millisecond, func() { close(release) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := Wait(ctx, q, time.Second, 0, func(s string) { reports = append(reports, s) })
		if err != nil || q.overlap || len(q.asked) != 3 {
			t.Errorf("Wait = %v, overlap %v, asked %d times", err, q.overlap, len(q.asked))
		}
		if want := []string{"no answer within 2s", "still busy"}; !slices.Equal(reports, want) {
			t.Errorf("reports %q, want %q", reports, want)
		}
		if took := time.Since(start); took < time.Minute || took > time.Minute+3*time.Second {
			t.Errorf("took %v, want a minute and no more than two intervals", took)
		}
	})
}

func TestWaitLeavesAHangBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		q := &script{answers: []func(context.Context) (string, error){
			func(context.Context) (string, error) { <-release; return "", nil },
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := Wait(ctx, q, time.Second, 0, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v", err)
		}
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestSpec(t *testing.T) {
	r := strings.NewReplacer("{worker}", "web.2", "{slot}", "2")
	s := Spec{Kind: "redis", Target: "redis://u:p@h:1/{slot}?x=y", Args: []string{"a{slot}"}, Keys: map[string]string{"set": "locks:{worker}"}}
	e := s.Expand(r)
	if e.Target != "redis://u:p@h:1/2?x=y" || e.Args[0] != "a2" || e.Keys["set"] != "locks:web.2" {
		t.Errorf("Expand = %+v", e)
	}
	if s.Args[0] != "a{slot}" || s.Keys["set"] != "locks:{worker}" {
		t.Errorf("Expand changed its receiver: %+v", s)
	}
	for _, test := range []struct {
		spec Spec
		want string
	}{
		{e, "redis locks:web.2"},
		{Spec{Kind: "redis", Target: "redis://u:p@h:1/0?password=x"}, "redis://h:1/0"},
		{Spec{Kind: "redis", Target: "redis://:sec/r@et@h:1"}, "redis://h:1"},
		{Spec{Kind: "redis", Target: "unix://:secret@/run/redis.sock"}, "redis unix:///run/redis.sock"},
		{Spec{Kind: "http", Target: "https://u:secret@h/x?token=secret"}, "https://h/x"},
		{Spec{Kind: "http", Target: "unix:/run/a:/x"}, "http unix:/run/a:/x"},
		{Spec{Kind: "file", Target: "filename"}, "file filename"},
		{Spec{Kind: "tcp", Target: "127.0.0.1:1"}, "tcp 127.0.0.1:1"},
		{Spec{Kind: "exec", Target: "./check now", Args: []string{"./check", "now"}}, "exec ./check now"},
	} {
		if got := test.spec.String(); got != test.want {
			t.Errorf("String = %q, want %q", got, test.want)
		}
	}
}

func TestMembers(t *testing.T) {
	for want, got := range map[string]string{
		"locks: a (1 in all)":            Members("locks", []string{"a"}, 1),
		"locks: a, b, c (3 in all)":      Members("locks", []string{"a", "b", "c"}, 3),
		"locks: a, b, c, ... (9 in all)": Members("locks", []string{"a", "b", "c", "d"}, 9),
		"locks: 2 in all":                Members("locks", nil, 2),
	} {
		if got != want {
			t.Errorf("Members = %q, want %q", got, want)
		}
	}
}
