package supervisor

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/sock"
)

// reloadable runs a configuration that the returned function replaces.
func reloadable(t *testing.T, c Config) (*stage, func(Config, int) control.Verdict) {
	next := c
	s := runLoading(t, c, func() (Config, error) { return next, nil })
	s.logged("msg=ready\n")
	return s, func(c Config, code int) control.Verdict {
		t.Helper()
		next = c
		return s.do(control.Request{Verb: "reload"}, code)
	}
}

// refuses waits until nobody listens at an address.
func (s *stage) refuses(network, address string) {
	s.t.Helper()
	s.until(address+" refuses", func() bool {
		c, err := net.DialTimeout(network, address, 10*time.Second)
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
	})
}

// A listener that no program has is one that the core does not know. It is
// closed, too, when a reload moves it or does not say it any more; until then it
// stays.
func TestUnservedListenerIsClosed(t *testing.T) {
	served, moved, path := web(t), web(t), t.TempDir()+"/spare.sock"
	moved.Name = "moved"
	spare := Listener{Name: "spare", Address: sock.Address{Network: "unix", Address: path}}
	p := program("web", 1, "plain")
	p.Listen = []string{"web"}
	of := func(l ...Listener) Config {
		return Config{Name: "test", Listeners: append([]Listener{served}, l...), Programs: []Program{p}}
	}
	s, reload := reloadable(t, of(moved, spare))
	before := moved.Address.Address
	reload(of(moved, spare), control.Done)
	for network, address := range map[string]string{"tcp": before, "unix": path} {
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	moved.Address = web(t).Address
	reload(of(moved), control.Done)
	s.refuses("tcp", before)
	s.refuses("unix", path)
	if _, err := os.Stat(path); err == nil {
		t.Error("its path is left")
	}
	reload(of(), control.Done)
	s.refuses("tcp", moved.Address.Address)
	if got := s.get(served.Address.Address, "/"); !strings.HasPrefix(got, "0 ") {
		t.Errorf("GET / = %q", got)
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// A program that a reload has removed drains behind its gate, and the next one
// brings it back. Its listener takes no newcomers any more: the reload says so,
// and once all have gone there is a new one.
func TestProgramComesBackWhileItsListenerCloses(t *testing.T) {
	busy := t.TempDir() + "/busy"
	if err := os.WriteFile(busy, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, other := web(t), program("other", 1, "sleep")
	p := program("web", 1, "plain")
	p.Listen, p.DrainTimeout = []string{"web"}, time.Minute
	p.Gates = []gate.Spec{{Kind: "file", Target: busy, Gate: true, Every: 10 * time.Millisecond}}
	with := Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{other, p}}
	without := with
	without.Programs = with.Programs[:1]
	s, reload := reloadable(t, with)
	removed := make(chan control.Verdict, 1)
	go func() { removed <- reload(without, control.Done) }()
	s.logged("msg=gate worker=web.0")
	if v := reload(with, control.Failed); !strings.Contains(v.Text, "is still being closed here; try again when its workers have gone") {
		t.Errorf("verdict %q", v.Text)
	}
	if w := s.workers()["web.0"]; w.State != "draining" {
		t.Errorf("web.0 is %+v", w)
	}
	if err := os.Remove(busy); err != nil {
		t.Fatal(err)
	}
	<-removed
	reload(without, control.Done) // nobody serves it: it stays closed
	s.refuses("tcp", l.Address.Address)
	reload(with, control.Done)
	if got := s.get(l.Address.Address, "/"); !strings.HasPrefix(got, "0 ") {
		t.Errorf("GET / = %q", got)
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// A listener that only has another name now cannot be bound, nor one at the
// address that another leaves. What is in the way is not another process, and
// does not go by itself.
func TestRenamedListener(t *testing.T) {
	l := web(t)
	p := program("web", 1, "plain")
	p.Listen = []string{"web"}
	s, reload := reloadable(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}})
	l.Name, p.Listen, l.Where = "site", []string{"site"}, "lastcall.toml:2"
	v := reload(Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{p}}, control.Failed)
	want := "reload: lastcall.toml:2: listen for site: " + l.Address.Address + " is that of another listener until then, web; keep that name, or take it out by a reload of its own first"
	if v.Text != want {
		t.Errorf("verdict %q\nwant    %q", v.Text, want)
	}
	moved := web(t)
	p.Listen = []string{"web", "site"}
	v = reload(Config{Name: "test", Listeners: []Listener{moved, l}, Programs: []Program{p}}, control.Failed)
	if v.Text != want {
		t.Errorf("verdict %q\nwant    %q", v.Text, want)
	}
	if got := s.get(l.Address.Address, "/"); !strings.HasPrefix(got, "0 ") {
		t.Errorf("GET / = %q", got)
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}
