package sock

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAccepting(t *testing.T) {
	for _, c := range []struct {
		role string
		want Sight
	}{
		{"go", Accepts},
		{"accept", Accepts},
		{"hold", AcceptsNot},
		{"elsewhere", AcceptsNot},
		{"paused", AcceptsNot},
		{"closed", AcceptsNot},
		{"reused", AcceptsNot},
		{"poll", Unseen},
	} {
		for _, address := range []string{"127.0.0.1:0", socketPath(t)} {
			l := listen(t, address, Options{})
			pid, end := start(t, c.role, l)
			until(t, c.role+" is seen as it is", func() bool { return Accepting(pid, l) == c.want })
			// A child's own threads come and go: a single look may find one
			// that runs. None may find anything else.
			for range 50 {
				if got := Accepting(pid, l); got != c.want && got != Busy {
					t.Errorf("%s at %s: sight %v, want %v", c.role, l.Address(), got, c.want)
				}
			}
			end()
			if got := Accepting(pid, l); got != AcceptsNot {
				t.Errorf("%s, ended: sight %v", c.role, got)
			}
		}
	}
}

// Accepting is about one socket, not about any the process has.
func TestAcceptingFromAnotherSocket(t *testing.T) {
	l, other := listen(t, "127.0.0.1:0", Options{}), listen(t, "127.0.0.1:0", Options{})
	inherited(t, other)
	if Accepting(os.Getpid(), l) == Accepts {
		t.Error("accepts from a socket that nobody serves")
	}
	if got := Accepting(os.Getpid(), other); got != Accepts {
		t.Errorf("the one that is served: sight %v", got)
	}
	pid, _ := start(t, "accept", other)
	until(t, "blocked in accept", func() bool { return Accepting(pid, other) == Accepts })
	if Accepting(pid, l) == Accepts {
		t.Error("a thread in accept of another socket counts")
	}
}

func TestParseSyscall(t *testing.T) {
	for _, c := range []struct {
		in          string
		call, first int
		ok          bool
	}{
		{"43 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f00\n", 43, 3, true},
		{"288 0xffffffff 0x0\n", 288, -1, true},
		{"-1 0x7ffe 0x7f00\n", -1, 0, true},
		{"running\n", 0, 0, false},
		{"", 0, 0, false},
		{"7 zero", 7, 0, false},
	} {
		call, first, ok := parseSyscall(c.in)
		if call != c.call || first != c.first || ok != c.ok {
			t.Errorf("%q: %d %d %v", c.in, call, first, ok)
		}
	}
	if !isPoll(unix.SYS_PPOLL) || !isPoll(unix.SYS_PSELECT6) || isPoll(unix.SYS_ACCEPT4) || isPoll(unix.SYS_FUTEX) {
		t.Error("poll and accept are confused")
	}
}
