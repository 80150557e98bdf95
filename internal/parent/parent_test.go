package parent

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// A parent that does not read holds up nobody who tells it something: what is too
// much is dropped, and said.
func TestParentThatDoesNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 100_000)
	p.Failed = func(err error) { failed <- err }
	var said error
	for range cap(failed) / 2 {
		p.Status("more than fits into any socket")
		select {
		case said = <-failed:
		default:
			continue
		}
		break
	}
	if said == nil || !strings.Contains(said.Error(), "it does not read; dropped") {
		t.Errorf("it says %v", said)
	}
	c.Close() // who waits in it is told so
	p.Close()
}

// Nobody above is told everything, and nothing happens.
func TestNoParent(t *testing.T) {
	var p *Parent
	p.Ready("")
	p.Reloading("")
	p.Stopping("")
	p.Extend(0)
	p.Alive()
	p.Store("web", 0)
	p.Unstore("web")
	p.Flush()
	p.Close()
	if p.Hears() || p.Room() > 0 || p.Watchdog() > 0 || p.Line() >= 0 || p.Sockets() != nil || p.Environment() != nil {
		t.Error("it says something")
	}
}
