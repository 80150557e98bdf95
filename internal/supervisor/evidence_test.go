package supervisor

import (
	"regexp"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/wire"
)

// TestLogNamesWhatReadinessWasSeenBy: each way to become ready has its name.
func TestLogNamesWhatReadinessWasSeenBy(t *testing.T) {
	file := t.TempDir() + "/gone"
	accepting, says := program("accepting", 1, "plain"), program("says", 1, "sleep")
	accepting.Listen = []string{"web"}
	probed, up := program("probed", 1, "until", file, "exit 0"), program("up", 1, "until", file, "exit 0")
	probed.Ready = &gate.Spec{Kind: "file", Target: "/"}
	up.Command, up.Path = []string{"/bin/sleep", "3600"}, "/bin/sleep"
	up.MinUptime = 50 * time.Millisecond
	s := run(t, Config{Name: "test", Listeners: []Listener{web(t)}, Programs: []Program{accepting, says, probed, up}})
	s.logged("msg=ready\n")
	for program, by := range map[string]string{"accepting": "accepting", "says": "notify", "probed": "probe", "up": "uptime"} {
		if line := "msg=ready worker=" + program + `\.0 life=\d+ pid=\d+ by=` + by + "\n"; !regexp.MustCompile(line).MatchString(s.log.String()) {
			t.Errorf("the log has no line %s", line)
		}
	}
	if r := s.stop(); r.Code != 0 {
		t.Errorf("report %+v", r)
	}
}

// TestLogNamesThePackage: a worker that speaks over its channel uses it.
func TestLogNamesThePackage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runFake(t, program("web", 1, "sleep"))
		b.comesUp(0)
		b.logged(" by=package\n")
		b.asks(control.Request{Verb: "stop"})
		b.isAsked(0)
		b.says(0, wire.Message{Drained: &wire.Drained{}})
		b.ends(0, proc.Exit{})
		b.returned(exitDone)
	})
}
