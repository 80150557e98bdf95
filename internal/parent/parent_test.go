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

// A socket that is gone is named once, and again when it was there meanwhile.
func TestParentThatIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	t.Setenv("NOTIFY_SOCKET", path)
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var failed []string
	p.Failed = func(err error) { failed = append(failed, err.Error()) } // of one goroutine, and Flush waits for it
	tell := func(want int) {
		t.Helper()
		for range 3 {
			p.Status("here")
		}
		p.Flush()
		if len(failed) != want {
			t.Errorf("it says %q, want %d", failed, want)
		}
	}
	tell(1)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	tell(1)
	c.Close()
	tell(2)
	if want := "tell parent at " + path + ", its NOTIFY_SOCKET: sendmsg: no such file or directory"; failed[0] != want {
		t.Errorf("it says %q, want %q", failed[0], want)
	}
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
