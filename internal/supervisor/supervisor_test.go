package supervisor

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
)

func TestPlainServer(t *testing.T) {
	l := web(t)
	p := program("web", 2, "plain")
	p.Listen = []string{"web"}
	s := run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}})
	s.logged("msg=ready\n")
	if got := s.get(l.Address.Address, "/"); !strings.Contains(got, " ") {
		t.Errorf("GET / = %q", got)
	}
	v := s.Do(context.Background(), control.Request{Verb: "restart"}, func([]control.Progress) {})
	if v.Code != control.Done {
		t.Errorf("restart: %+v", v)
	}
	st, err := s.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", st)
	v = s.Do(context.Background(), control.Request{Verb: "stop"}, func([]control.Progress) {})
	t.Log(s.log)
	if v.Code != control.Done {
		t.Errorf("stop: %+v", v)
	}
	if r := s.ended(); r.Code != 0 || r.Err != nil {
		t.Errorf("report = %+v", r)
	}
}

// TestNothingToAsk: whoever asks a supervisor that has not even begun gets an
// answer, and does not wait for ever.
func TestNothingToAsk(t *testing.T) {
	for _, c := range []Config{{Socket: "/dev/null/control.sock"}, {PIDFile: "/dev/null"}} {
		c.Programs = []Program{program("web", 1, "plain")}
		s := run(t, c)
		if r := s.ended(); r.Code != exitNotUp || r.Err == nil {
			t.Errorf("report %+v", r)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		if _, err := s.Status(ctx); !errorSays(err, "the supervisor has stopped") {
			t.Errorf("status: %v", err)
		}
		cancel()
	}
}
