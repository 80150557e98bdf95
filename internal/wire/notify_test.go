package wire

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseNotify(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Notification
	}{
		{"", Notification{}},
		{"READY=1", Notification{Ready: true}},
		{"READY=1\n", Notification{Ready: true}},
		{"READY=0", Notification{}},
		{"READY", Notification{}},
		{"ready=1", Notification{}},
		{"STOPPING=1", Notification{Stopping: true}},
		{"WATCHDOG=1", Notification{Watchdog: true}},
		{"WATCHDOG=trigger", Notification{}},
		{"STATUS=a=b\nREADY=1", Notification{Ready: true, Status: "a=b"}},
		{"STATUS=one\nSTATUS=two", Notification{Status: "two"}},
		{"STATUS=caf\xe9", Notification{Status: "caf\uFFFD"}},
		{"MAINPID=7\nBARRIER=1\nX_OTHER=yes\nWATCHDOG=1", Notification{Watchdog: true, MainPID: 7}},
		{"MAINPID=x\nMAINPID=-1\nMAINPID=0", Notification{}},
	} {
		if got := ParseNotify([]byte(c.in)); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.in, got, c.want)
		}
	}
}

// Whatever the bytes: no panic, one line of valid text, and nothing is heard
// that was not said.
func FuzzParseNotify(f *testing.F) {
	for _, s := range []string{"", "READY=1", "STATUS=x\nREADY=1\n", "=\n=\n", "STATUS=\xff", "WATCHDOG=1\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := ParseNotify(b)
		if more := ParseNotify([]byte("X_LEVITATE=1\nREADY\n" + string(b) + "\nBARRIER=1")); more != n {
			t.Fatalf("%q: %+v, and with keys that are not known %+v", b, n, more)
		}
		if !utf8.ValidString(n.Status) || strings.Contains(n.Status, "\n") {
			t.Fatalf("%q: status %q", b, n.Status)
		}
		for said, heard := range map[string]bool{"READY=1": n.Ready, "STOPPING=1": n.Stopping, "WATCHDOG=1": n.Watchdog} {
			if is := strings.Contains("\n"+string(b)+"\n", "\n"+said+"\n"); heard != is {
				t.Fatalf("%q: %s heard %v, said %v", b, said, heard, is)
			}
		}
	})
}
