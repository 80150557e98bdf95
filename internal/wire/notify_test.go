package wire

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseNotify(t *testing.T) {
	watch := func(d time.Duration) *time.Duration { return &d }
	long := strings.Repeat("n", 199) + "ü"
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
		{"RELOADING=1\nMONOTONIC_USEC=5", Notification{Reloading: true}},
		{"WATCHDOG=1", Notification{Watchdog: true}},
		{"WATCHDOG=trigger", Notification{Trigger: true}},
		{"WATCHDOG=Trigger\nWATCHDOG=2", Notification{}},
		{"WATCHDOG_USEC=1500000", Notification{Watch: watch(1500 * time.Millisecond)}},
		{"WATCHDOG_USEC=0", Notification{Watch: watch(0)}},
		{"WATCHDOG_USEC=-1\nWATCHDOG_USEC=\nWATCHDOG_USEC=1s", Notification{}},
		{"EXTEND_TIMEOUT_USEC=2000000", Notification{Extend: 2 * time.Second}},
		{"EXTEND_TIMEOUT_USEC=18446744073709551615", Notification{Extend: math.MaxInt64 / 1000 * time.Microsecond}},
		{"EXTEND_TIMEOUT_USEC=18446744073709551616", Notification{}},
		{"MAINPID=7", Notification{MainPID: 7}},
		{"MAINPID=-7\nMAINPID=0\nMAINPID=99999999999\nMAINPID=x", Notification{}},
		{"STATUS=a=b\nREADY=1", Notification{Ready: true, Status: "a=b"}},
		{"STATUS=one\nSTATUS=two", Notification{Status: "two"}},
		{"STATUS=caf\xe9", Notification{Status: "caf\uFFFD"}},
		{"BARRIER=1\nX_OTHER=yes\nWATCHDOG=1", Notification{Watchdog: true}},
		{"X_LASTCALL_BEGIN=work a", Notification{Marks: []Mark{{true, "work a", Critical}}}},
		{"X_LASTCALL_END=work a=b", Notification{Marks: []Mark{{Name: "work a=b"}}}},
		{"X_LASTCALL_BEGIN=\nX_LASTCALL_END=", Notification{Marks: []Mark{{true, "operation", Critical}, {Name: "operation"}}}},
		{"X_LASTCALL_BEGIN=a\nX_LASTCALL_CLASS=expendable\nX_LASTCALL_BEGIN=b\nX_LASTCALL_CLASS=odd\nX_LASTCALL_BEGIN=c\nX_LASTCALL_CLASS=critical\nX_LASTCALL_BEGIN=d",
			Notification{Marks: []Mark{{true, "a", Critical}, {true, "b", Expendable}, {true, "c", Expendable}, {true, "d", Critical}}}},
		{"X_LASTCALL_BEGIN=" + long, Notification{Marks: []Mark{{true, long[:199], Critical}}}},
		{"X_LASTCALL_BEGIN=" + long[1:], Notification{Marks: []Mark{{true, long[1:], Critical}}}},
	} {
		if diff := cmp.Diff(c.want, ParseNotify([]byte(c.in))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.in, diff)
		}
	}
}

// Whatever the bytes: no panic, lines of valid text, and nothing is heard that
// was not said.
func FuzzParseNotify(f *testing.F) {
	for _, s := range []string{
		"", "READY=1", "STATUS=x\nREADY=1\n", "=\n=\n", "STATUS=\xff", "WATCHDOG=1\x00", "WATCHDOG=trigger\nRELOADING=1", "WATCHDOG_USEC=99999999999999999999",
		"EXTEND_TIMEOUT_USEC=18446744073709551615\nMAINPID=1", "X_LASTCALL_CLASS=expendable\nX_LASTCALL_BEGIN=a\nX_LASTCALL_END=a\nX_LASTCALL_BEGIN=",
		"X_LASTCALL_BEGIN=" + strings.Repeat("ü", 150), "X_LASTCALL_END=\xff" + strings.Repeat("\xbf", 250),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := ParseNotify(b)
		if more := ParseNotify([]byte("X_LEVITATE=1\nREADY\n" + string(b) + "\nBARRIER=1")); !reflect.DeepEqual(more, n) {
			t.Fatalf("%q: %+v, and with keys that are not known %+v", b, n, more)
		}
		if !utf8.ValidString(n.Status) || strings.Contains(n.Status, "\n") {
			t.Fatalf("%q: status %q", b, n.Status)
		}
		text := "\n" + string(b) + "\n"
		for said, heard := range map[string]bool{
			"READY=1": n.Ready, "STOPPING=1": n.Stopping, "RELOADING=1": n.Reloading, "WATCHDOG=1": n.Watchdog, "WATCHDOG=trigger": n.Trigger,
		} {
			if is := strings.Contains(text, "\n"+said+"\n"); heard != is {
				t.Fatalf("%q: %s heard %v, said %v", b, said, heard, is)
			}
		}
		if n.Extend < 0 || n.MainPID < 0 || n.Watch != nil && *n.Watch < 0 {
			t.Fatalf("%q: %+v", b, n)
		}
		if said := strings.Count(text, "\nX_LASTCALL_BEGIN=") + strings.Count(text, "\nX_LASTCALL_END="); len(n.Marks) != said {
			t.Fatalf("%q: %d begins and ends, said %d", b, len(n.Marks), said)
		}
		for _, m := range n.Marks {
			if m.Name == "" || len(m.Name) > maxName || !utf8.ValidString(m.Name) || strings.Contains(m.Name, "\n") || m.Begin != (m.Class != "") {
				t.Fatalf("%q: %+v", b, m)
			}
		}
	})
}
