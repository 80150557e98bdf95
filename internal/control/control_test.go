package control

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fake is a Handler of canned answers. Its Do runs the function of that name.
type fake struct {
	status   Status
	inflight map[string][]Operation
	do       func(context.Context, Request, func([]Progress)) Verdict
}

func (f *fake) Status(context.Context) (Status, error) { return f.status, nil }

func (f *fake) Inflight(_ context.Context, target string) ([]Operation, error) {
	list, ok := f.inflight[target]
	if !ok {
		return nil, &UnknownTarget{Target: target}
	}
	return list, nil
}

func (f *fake) Do(ctx context.Context, r Request, progress func([]Progress)) Verdict {
	return f.do(ctx, r, progress)
}

// start serves h on a socket of the test's own until the test ends.
func start(t *testing.T, h Handler) (*Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(h) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s, path
}

// limited is a context that fails the test's calls rather than hanging them.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestStatusAndInflight(t *testing.T) {
	want := Status{
		Name: "siege", PID: 42, Version: "v1", Uptime: 1.5, State: "running",
		Listeners: []Listener{{Name: "web", Address: "127.0.0.1:8080", State: "open", Waiting: true}},
		Programs: []Program{{Name: "web", Generation: 2, Wanted: 1, Workers: []Worker{
			{Worker: "web.0", Life: 7, PID: 43, State: "ready", Inflight: -1, Accepting: "yes", Status: "a\tb\x1b"}}}},
	}
	operation := Operation{Worker: "web.0", Name: "POST", Route: "/a b?c=%", Class: "critical", Age: time.Second}
	_, path := start(t, &fake{status: want, inflight: map[string][]Operation{
		"": nil, "web.0": {operation},
	}})
	ctx, c := limited(t), Dial(path)
	got, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	list, err := c.Inflight(ctx, "web.0")
	if err != nil || len(list) != 1 || list[0] != operation {
		t.Errorf("inflight web.0 = %v, %v", list, err)
	}
	if list, err = c.Inflight(ctx, ""); err != nil || list == nil || len(list) != 0 {
		t.Errorf("inflight of nothing = %#v, %v, want an empty list", list, err)
	}
	var unknown *UnknownTarget
	if _, err = c.Inflight(ctx, "a&b=c"); !errors.As(err, &unknown) || unknown.Target != "a&b=c" {
		t.Errorf("inflight of an unknown target: %v, want *UnknownTarget", err)
	}
}

func TestDo(t *testing.T) {
	request := Request{Verb: "stop", Target: "web.1", Now: true, Hard: true, Workers: 3, Signal: "USR1"}
	line := []Progress{{Worker: "web.1", State: "draining", Waiting: "POST /a", Count: 2, Left: time.Second}}
	want := Verdict{Code: Cut, Text: "stopped", Cut: []Operation{{Worker: "web.1", Name: "POST"}}, Last: []string{"x"}}
	_, path := start(t, &fake{do: func(_ context.Context, r Request, progress func([]Progress)) Verdict {
		if r != request {
			return Verdict{Code: Failed, Text: "another request"}
		}
		progress(line)
		progress(nil)
		progress(line)
		return want
	}})
	var seen [][]Progress
	got, err := Dial(path).Do(limited(t), request, func(p []Progress) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]Progress{line, line}, seen); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if got, err = Dial(path).Do(limited(t), request, nil); err != nil || got.Code != Cut {
		t.Errorf("without a progress function: %v, %v", got, err)
	}
}

// Progress arrives while the command runs, not when it has ended.
func TestProgressIsNotHeldBack(t *testing.T) {
	seen := make(chan struct{})
	_, path := start(t, &fake{do: func(ctx context.Context, _ Request, progress func([]Progress)) Verdict {
		progress([]Progress{{Worker: "web.0"}})
		select {
		case <-seen:
			return Verdict{}
		case <-ctx.Done():
			return Verdict{Code: Failed, Text: "progress was not seen"}
		}
	}})
	v, err := Dial(path).Do(limited(t), Request{Verb: "stop"}, func([]Progress) { close(seen) })
	if err != nil || v.Code != Done {
		t.Errorf("verdict %v, %v", v, err)
	}
}

func TestClientLeavesAndTheCommandGoesOn(t *testing.T) {
	left, ended := make(chan struct{}), make(chan struct{})
	_, path := start(t, &fake{do: func(ctx context.Context, _ Request, progress func([]Progress)) Verdict {
		progress([]Progress{{Worker: "web.0"}})
		<-ctx.Done() // the waiting ends with the client
		close(left)
		progress([]Progress{{Worker: "web.0"}}) // to nobody
		close(ended)
		return Verdict{}
	}})
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	_, err := Dial(path).Do(ctx, Request{Verb: "stop"}, func([]Progress) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	await(t, left, "the handler was not told that its client left")
	await(t, ended, "the command did not go on")
	if _, err := Dial(path).Status(limited(t)); err != nil {
		t.Errorf("the server does not answer any more: %v", err)
	}
}

// A verdict that was returned just before Close arrives all the same.
func TestCloseLetsTheVerdictOut(t *testing.T) {
	var s *Server
	closed := make(chan error, 1)
	s, path := start(t, &fake{do: func(ctx context.Context, _ Request, _ func([]Progress)) Verdict {
		go func() { closed <- s.Close() }()
		// Not before the socket is gone: by then Close is under way.
		for _, err := os.Lstat(s.path); err == nil && ctx.Err() == nil; _, err = os.Lstat(s.path) {
		}
		return Verdict{Text: strings.Repeat("stopped ", 1000)}
	}})
	v, err := Dial(path).Do(limited(t), Request{Verb: "stop"}, nil)
	if err != nil || !strings.HasPrefix(v.Text, "stopped") {
		t.Errorf("verdict %q, %v", v.Text, err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestClientLeavesNoConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	s.http.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(gone)
		}
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(&fake{}) }()
	if _, err := Dial(path).Status(limited(t)); err != nil {
		t.Error(err)
	}
	await(t, gone, "the connection stays open")
	if err := errors.Join(s.Close(), <-served); err != nil {
		t.Error(err)
	}
}

func TestNoVerdict(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	half := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(Update{Progress: []Progress{{Worker: "web.0"}}})
	})}
	go half.Serve(l)
	defer half.Close()
	_, err = Dial(path).Do(limited(t), Request{Verb: "stop"}, nil)
	if err == nil || !strings.Contains(err.Error(), "gave no verdict on stop") {
		t.Errorf("error %v", err)
	}
}

func TestNotRunning(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent.sock")
	for _, path := range []string{absent, stale(t)} {
		if _, err := Dial(path).Status(limited(t)); !errors.Is(err, ErrNotRunning) {
			t.Errorf("status at %s: %v, want ErrNotRunning", path, err)
		}
		if _, err := Dial(path).Do(limited(t), Request{Verb: "stop"}, nil); !errors.Is(err, ErrNotRunning) {
			t.Errorf("do at %s: %v, want ErrNotRunning", path, err)
		}
	}
}

func await(t *testing.T, c <-chan struct{}, otherwise string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatal(otherwise)
	}
}

// stale leaves a socket behind that nobody listens on.
func stale(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	return path
}
