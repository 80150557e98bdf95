package sock

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAccepting(t *testing.T) {
	for _, c := range []struct {
		role       string
		yes, known bool
	}{
		{"go", true, true},
		{"accept", true, true},
		{"hold", false, true},
		{"elsewhere", false, true},
		{"paused", false, true},
		{"closed", false, true},
		{"reused", false, true},
		{"poll", false, false},
	} {
		for _, address := range []string{"127.0.0.1:0", socketPath(t)} {
			l := listen(t, address, Options{})
			pid, end := start(t, c.role, l)
			until(t, c.role+" is seen as it is", func() bool {
				yes, known := Accepting(pid, l)
				return yes == c.yes && known == c.known
			})
			// A child's own threads come and go: single looks may not know.
			// None may say the opposite.
			for range 50 {
				if yes, known := Accepting(pid, l); yes != c.yes || known && !c.known {
					t.Errorf("%s at %s: accepting %v, known %v", c.role, l.Address(), yes, known)
				}
			}
			end()
			if yes, known := Accepting(pid, l); yes || !known {
				t.Errorf("%s, ended: accepting %v, known %v", c.role, yes, known)
			}
		}
	}
}

// Accepting is about one socket, not about any the process has.
func TestAcceptingFromAnotherSocket(t *testing.T) {
	l, other := listen(t, "127.0.0.1:0", Options{}), listen(t, "127.0.0.1:0", Options{})
	inherited(t, other)
	if yes, _ := Accepting(os.Getpid(), l); yes {
		t.Error("accepts from a socket that nobody serves")
	}
	if yes, known := Accepting(os.Getpid(), other); !yes || !known {
		t.Errorf("the one that is served: accepting %v, known %v", yes, known)
	}
	pid, _ := start(t, "accept", other)
	until(t, "blocked in accept", func() bool { yes, _ := Accepting(pid, other); return yes })
	if yes, _ := Accepting(pid, l); yes {
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
