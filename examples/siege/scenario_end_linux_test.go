package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An entry is one line of the supervisor's log.
type entry struct {
	Msg, Worker, Reason, Cut, For, Listener string
	Life                                    int
}

// matches reports whether all that is set in want is so in e; texts need only
// be part of it.
func (e entry) matches(want entry) bool {
	return e.Msg == want.Msg && strings.HasPrefix(e.Worker, want.Worker) && strings.Contains(e.Reason, want.Reason) &&
		strings.Contains(e.Cut, want.Cut) && strings.Contains(e.For, want.For) && strings.Contains(e.Listener, want.Listener) &&
		(want.Life == 0 || e.Life == want.Life) && (want.Worker != "" || e.Worker == "")
}

// log returns the supervisor's log as it is now. The workers write to the same
// file, but no JSON.
func (s *stage) log() []entry {
	s.t.Helper()
	text, err := os.ReadFile(s.file("log"))
	if err != nil {
		s.t.Fatal(err)
	}
	var out []entry
	for line := range bytes.Lines(text) {
		var e entry
		if json.Unmarshal(line, &e) == nil && e.Msg != "" {
			out = append(out, e)
		}
	}
	return out
}

// find returns the place of the first entry that matches.
func (s *stage) find(want entry) (int, bool) {
	s.t.Helper()
	for i, e := range s.log() {
		if e.matches(want) {
			return i, true
		}
	}
	return 0, false
}

func (s *stage) awaitLog(want entry) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the log has %+v", want), func() bool {
		_, ok := s.find(want)
		return ok
	})
}

// ends waits for the end and checks what every end has to be: the exit code,
// nothing left behind, the port free, no half set, redis last but one, and what
// was cut named if something was.
func (s *stage) ends(code int, cut string) {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(2 * endLimit):
		s.t.Fatal("the supervisor does not end")
	}
	// Nothing is waited for here: the supervisor is the last to end.
	for _, p := range append(s.family, relatives(s.t, s.cmd.Process.Pid)...) {
		if p.alive() {
			s.t.Errorf("%s (pid %d) is left behind", p.name, p.pid)
		}
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code %d, want %d", got, code)
	}
	if err := isFree(s.addr); err != nil {
		s.t.Errorf("the port is not free: %v", err)
	}
	s.checkSets()
	s.checkLog(cut)
}

// checkSets looks for half-written sets.
func (s *stage) checkSets() {
	s.t.Helper()
	err := filepath.WalkDir(s.file("siege_data"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".part") {
			s.t.Errorf("%s is left: half a set", path)
		}
		return err
	})
	if err != nil && s.redis != "" {
		s.t.Error(err)
	}
}

// checkLog checks the order of the endings and what was cut.
func (s *stage) checkLog(cut string) {
	s.t.Helper()
	text, err := os.ReadFile(s.file("log"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, bad := range []string{"DATA RACE", "panic", "level=ERROR", "Traceback"} {
		if bytes.Contains(text, []byte(bad)) {
			s.t.Errorf("the log has %q", bad)
		}
	}
	last, asked, named := "", -1, false
	for i, e := range s.log() {
		switch {
		case e.Msg == "draining" && e.Worker == "redis.0":
			asked = i
		case e.Msg == "gone":
			last = e.Worker
			if asked >= 0 && e.Worker != "redis.0" {
				s.t.Errorf("redis was asked to end before %s had ended", e.Worker)
			}
			named = named || e.Cut != "" && strings.Contains(e.Cut, cut)
			if e.Cut != "" && cut == "" {
				s.t.Errorf("%s had work cut: %s", e.Worker, e.Cut)
			}
		}
	}
	if s.redis != "" && last != "redis.0" {
		s.t.Errorf("the last to end was %q, want redis.0", last)
	}
	if cut != "" && !named {
		s.t.Errorf("the log does not say that %q was cut", cut)
	}
}

// A process is one of now or of the past: its start tells it from another that
// got its pid.
type process struct {
	pid, parent, session int
	state, name, start   string
}

// relatives returns the processes that descend from one, or are in its session.
func relatives(t *testing.T, pid int) []process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var all []process
	for _, e := range entries {
		if p, err := readProcess(e.Name()); err == nil {
			all = append(all, p)
		}
	}
	ours := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !ours[p.pid] && (ours[p.parent] || p.session == pid) {
				ours[p.pid], grown = true, true
			}
		}
	}
	var out []process
	for _, p := range all {
		if ours[p.pid] && p.pid != pid {
			out = append(out, p)
		}
	}
	return out
}

// readProcess reads /proc/PID/stat.
func readProcess(pid string) (process, error) {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return process{}, err
	}
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return process{}, err
	}
	_, rest, _ := strings.Cut(string(stat), " (")
	end := strings.LastIndex(rest, ") ") // the name may hold anything
	if end < 0 {
		return process{}, fmt.Errorf("parse /proc/%s/stat: %q", pid, stat)
	}
	f := strings.Fields(rest[end+2:])
	p := process{pid: n, name: rest[:end], state: f[0], start: f[19]}
	p.parent, _ = strconv.Atoi(f[1])
	p.session, _ = strconv.Atoi(f[3])
	return p, nil
}

// alive reports whether the process has not ended.
func (p process) alive() bool {
	now, err := readProcess(strconv.Itoa(p.pid))
	return err == nil && now.start == p.start && now.state != "Z"
}

// count counts the lines of the log that have a text, the workers' too.
func (s *stage) count(text string) int {
	s.t.Helper()
	b, err := os.ReadFile(s.file("log"))
	if err != nil {
		s.t.Fatal(err)
	}
	return bytes.Count(b, []byte(text))
}
