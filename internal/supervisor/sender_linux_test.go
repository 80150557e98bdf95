package supervisor

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall/lastcall/internal/pool"
	"github.com/lastcall/lastcall/internal/proc"
)

// mouth is a notify socket, and what says something to it.
func mouth(t *testing.T) (*notifySocket, *net.UnixConn) {
	t.Helper()
	s, path, err := openNotify(pool.ID{Program: "web"}, filepath.Join(shortDir(t), "n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return s.(*notifySocket), c
}

// Of a datagram that is too long whole lines are taken: half a number is another
// number.
func TestLongNotification(t *testing.T) {
	s, c := mouth(t)
	for said, want := range map[string]string{
		"READY=1\nX_OTHER=" + strings.Repeat("x", maxNotify-30) + "\nWATCHDOG_USEC=30000000\n": "READY=1\nX_OTHER=" + strings.Repeat("x", maxNotify-30) + "\n",
		"STATUS=" + strings.Repeat("x", maxNotify):                                             "",
		"STATUS=" + strings.Repeat("x", maxNotify-7):                                           "STATUS=" + strings.Repeat("x", maxNotify-7),
		strings.Repeat("\n", maxNotify) + "STOPPING=1":                                         strings.Repeat("\n", maxNotify),
	} {
		if _, err := c.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
		if got, _, err := s.Receive(); err != nil || string(got) != want {
			t.Errorf("of %.20q...: %q, %v", said, got, err)
		}
	}
}

// The descriptor that comes with BARRIER=1 is closed when that is read, with
// waiting and without, and none that comes with a datagram stays.
func TestBarrier(t *testing.T) {
	s, c := mouth(t)
	for _, read := range []func() ([]byte, sender, error){s.Receive, s.Left} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		raw, err := c.SyscallConn()
		if err == nil {
			// WriteMsgUnix does not know that this socket is connected.
			failed := raw.Control(func(fd uintptr) {
				err = unix.Sendmsg(int(fd), []byte("BARRIER=1"), unix.UnixRights(int(w.Fd())), nil, 0)
			})
			err = cmp.Or(failed, err)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		if got, from, err := read(); err != nil || string(got) != "BARRIER=1" || from.pid != os.Getpid() {
			t.Errorf("%q of %+v, %v", got, from, err)
		}
		_ = r.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := r.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the barrier stands: %v", err)
		}
	}
	if _, _, err := s.Left(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("of nothing: %v", err)
	}
}

// Who may notify: those who could signal the worker anyway, whether they live or
// not, the worker's own processes, and from then on others of their user.
func TestWhoMayNotify(t *testing.T) {
	var log strings.Builder
	s := &Supervisor{log: slog.New(slog.NewTextHandler(&log, nil))}
	p := &Program{User: "70001:70001"}
	if os.Geteuid() != 0 {
		p.User = "" // only root may name one
	}
	l := &life{program: p, speakers: speakers(p), process: self{}}
	const dead, stranger = 0, 1
	for i, test := range []struct {
		from sender
		want bool
	}{
		{sender{0, dead}, true},
		{sender{os.Geteuid(), dead}, true},
		{sender{70001, dead}, os.Geteuid() == 0},
		{sender{70002, dead}, false},
		{sender{70002, stranger}, false},
		{sender{noUser, os.Getpid()}, false},
		{sender{70002, os.Getpid()}, true},
		{sender{70002, dead}, true},
		{sender{70003, os.Getppid()}, false},
	} {
		if got := s.mayNotify(l, test.from); got != test.want {
			t.Errorf("%d: %+v may: %v", i, test.from, got)
		}
	}
	if n := strings.Count(log.String(), "of a stranger"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, log.String())
	}
}

// self is a worker that is this process.
type self struct{ process }

func (self) Pid() int { return os.Getpid() }

func TestDescends(t *testing.T) {
	for _, test := range []struct {
		pid, from int
		want      bool
	}{
		{os.Getpid(), os.Getpid(), true},
		{os.Getpid(), os.Getppid(), true},
		{os.Getppid(), os.Getpid(), false},
		{1, os.Getpid(), false},
		{0, os.Getpid(), false},
		{-1, os.Getpid(), false},
	} {
		if got := proc.Descends(test.pid, test.from); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}
