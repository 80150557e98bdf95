package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/lastcall/lastcall/internal/sock"
)

func TestPortInUseNamesPlaceHolderAndRemedy(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	l := Listener{Name: "web", Address: sock.Address{Network: "tcp", Address: taken.Addr().String()}, Where: "lastcall.toml:3"}
	s := run(t, Config{Name: "test", Listeners: []Listener{l}, Programs: []Program{program("web", 1, "sleep")}})
	r := s.ended()
	if r.Code != exitNotUp || r.Err == nil {
		t.Fatalf("report %+v", r)
	}
	got := r.Err.Error()
	begins := fmt.Sprintf("lastcall.toml:3: listen for web: listen on %s: bind: address already in use", l.Address)
	if !strings.HasPrefix(got, begins) || !strings.HasSuffix(got, "; stop it, or choose another address") {
		t.Error(got)
	}
	if _, err := os.Stat("/proc/self/fd"); err == nil && !strings.Contains(got, fmt.Sprintf(", by pid %d (", os.Getpid())) {
		t.Errorf("it does not say who has it: %s", got)
	}
}

func TestBindErrors(t *testing.T) {
	tcp, unix := sock.Address{Network: "tcp", Address: "h:1"}, sock.Address{Network: "unix", Address: "/x/y"}
	for _, test := range []struct {
		where   string
		address sock.Address
		err     error
		want    string
	}{
		{"--listen", tcp, os.NewSyscallError("bind", syscall.EACCES),
			"--listen: listen for web: bind: permission denied; choose a port from 1024 on, or give lastcall the right: setcap cap_net_bind_service=ep"},
		{"a:1", tcp, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL),
			"a:1: listen for web: bind: cannot assign requested address; choose an address that this machine has"},
		{"a:1", tcp, &net.DNSError{Err: "no such host", Name: "h"},
			"a:1: listen for web: lookup h: no such host; correct the name, or write an IP address"},
		{"a:1", unix, os.NewSyscallError("bind", syscall.ENOENT),
			"a:1: listen for web: bind: no such file or directory; make the directory, or choose another path"},
		{"a:1", unix, os.NewSyscallError("bind", syscall.EACCES),
			"a:1: listen for web: bind: permission denied; let this user write to the directory, or choose another path"},
		{"a\nb:1", unix, errors.Join(errors.New("odd"), fs.ErrClosed),
			"a b:1: listen for web: odd file already closed; choose another address"},
		{"", tcp, errors.New("odd"), "listen for web: odd; choose another address"},
	} {
		err := &bindError{Listener{Name: "web", Address: test.address, Where: test.where}, test.err}
		if got := err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		if !errors.Is(err, test.err) {
			t.Errorf("%v: its cause cannot be found", err)
		}
	}
}

// The errors that come, not those that are made here, have their remedies.
func TestBindErrorsOfTheKernel(t *testing.T) {
	for address, remedy := range map[sock.Address]string{
		{Network: "tcp", Address: "192.0.2.1:0"}:                   "choose an address that this machine has",
		{Network: "tcp", Address: "nowhere.invalid:0"}:             "correct the name, or write an IP address",
		{Network: "unix", Address: t.TempDir() + "/absent/x.sock"}: "make the directory, or choose another path",
	} {
		s, err := New(Config{
			Programs:  []Program{program("web", 1, "sleep")},
			Listeners: []Listener{{Name: "web", Address: address, Where: "--listen"}},
		}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.bind(); err == nil || !strings.HasSuffix(err.Error(), "; "+remedy) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, remedy)
			s.closeListeners()
		}
	}
}
