package supervisor

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/control"
)

// A client whose request has been taken when another executable takes over has
// its answer before: neither of the two could give it afterwards.
func TestClientsAreAnsweredBeforeTheUpgrade(t *testing.T) {
	const signal = `{"verb":"signal","target":"job","signal":"URG"}`
	for name, request := range map[string]string{
		"status":  "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"command": fmt.Sprintf("POST /v1/do HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(signal), signal),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.sock")
			s := run(t, Config{Name: "test", Socket: path, Programs: []Program{program("job", 1, "sleep")}})
			s.logged("msg=ready\n")
			s.do(control.Request{Verb: "drain", Target: "job"}, control.Done) // whose output would be waited for
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				if b, err := io.ReadAll(c); err != nil || len(b) == 0 {
					t.Errorf("answer %q: %v", b, err)
				}
			}()
			var u *upgrade
			s.call(context.Background(), func() {
				if _, err := io.WriteString(c, request); err != nil {
					t.Error(err)
				}
				s.until("the request has been taken", func() bool { return unread(t, c) == 0 })
				s.system.exec = func(string, []string, []string) error {
					select {
					case <-answered:
					case <-time.After(5 * time.Second):
						t.Error("the client has no answer yet, and nobody would give it one")
					}
					return syscall.ENOENT
				}
				u = s.wantUpgrade()
				s.replaceSelf()
			})
			<-u.refused
			<-answered
			if r := s.stop(); r.Code != 0 {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// unread is how much of what was written to a unix socket its reader has not
// taken, in the kernel's account.
func unread(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Error(err)
	}
	return n
}

// A command that comes at the last moment, and has to be waited for, comes
// first; the upgrade is not forgotten for it.
func TestUpgradeWaitsForTheLastCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	s := run(t, Config{Name: "test", Socket: path, Programs: []Program{program("job", 1, "sleep")}})
	s.logged("msg=ready\n")
	verdict := make(chan error, 1)
	var u *upgrade
	s.call(context.Background(), func() {
		go func() {
			v, err := control.Dial(path).Do(context.Background(), control.Request{Verb: "drain", Target: "job"}, nil)
			if err == nil && v.Code != control.Done {
				err = fmt.Errorf("verdict %+v", v)
			}
			verdict <- err
		}()
		s.until("the command has come to the loop", func() bool {
			select {
			case call := <-s.calls:
				call()
				return true
			default:
				return false
			}
		})
		s.system.exec = func(string, []string, []string) error {
			t.Error("another executable takes over while an operator waits")
			return syscall.ENOENT
		}
		u = s.wantUpgrade()
		s.replaceSelf()
	})
	<-u.refused
	if !errorSays(u.err, "only the command lastcall can do that") { // the loop has come to it again
		t.Errorf("refused: %v", u.err)
	}
	if err := <-verdict; err != nil {
		t.Error(err)
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}
