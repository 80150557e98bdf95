package supervisor

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/control"
)

// playPanic is a supervisor, in its directory, of a helper, a worker that ends
// when it is asked to, and one that ends when the file "go" is there. Each makes
// a file when it hears signals. When its standard input ends the supervisor's
// loop does what no core wants of it.
func playPanic() {
	script := func(name, text string) Program {
		p := program(name, 1, "sleep")
		p.Command, p.Path = []string{"sh", "-c", text}, "/bin/sh"
		p.MinUptime, p.DrainTimeout = 10*time.Millisecond, time.Minute
		return p
	}
	helper := script("helper", "trap 'kill $!; echo down >>journal; exit' TERM; echo up >>journal; : >up.helper; sleep 600 & wait")
	web := script("web", "trap 'kill $!; echo asked >>journal; exit' TERM; : >up.web; sleep 600 & wait")
	slow := script("slow", "trap 'echo slow >>journal; until test -e go; do sleep 0.01; done; exit' TERM; : >up.slow; while :; do sleep 0.01; done")
	web.DependsOn, slow.DependsOn = []string{"helper"}, []string{"helper"}
	s, err := New(Config{Name: "test", Socket: "s", Programs: []Program{helper, web, slow}}, Options{
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		panic(err)
	}
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		s.call(context.Background(), func() { s.act(nil) })
	}()
	s.Run()
}

// A supervisor that finds itself in an impossible state ends by a panic,
// whoever waits for its answer, and the guard finishes the stop for it: who has
// been asked before is not asked again, and the helper ends last.
func TestPanicIsAnOrderlyStop(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no guard")
	}
	dir := t.TempDir()
	marker := "SUPERVISOR_TEST_MARKER=" + dir
	s := &stage{t: t, log: &lockedBuffer{}, out: &lockedBuffer{}}
	in, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	self := program("self", 1, "panic")
	cmd := exec.Command(self.Path, self.Command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), marker)
	cmd.Stdin, cmd.Stdout = in, s.out
	// A file: the guard holds it for longer than the supervisor, whose Wait
	// would wait for the end of a pipe.
	stderr, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		return string(b)
	}
	t.Cleanup(func() {
		end.Close()
		_ = os.WriteFile(filepath.Join(dir, "go"), nil, 0o666)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log:\n%s\njournal:\n%s", read("log"), read("journal"))
		}
	})
	s.until("all are ready", func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, "up.*"))
		return len(files) == 3 && strings.Contains(read("log"), "msg=ready\n")
	})
	operator := control.Dial(filepath.Join(dir, "s"))
	answered := make(chan error, 1)
	go func() {
		_, err := operator.Do(context.Background(), control.Request{Verb: "drain", Target: "slow"}, func([]control.Progress) {})
		answered <- err
	}()
	s.until("slow is asked", func() bool { return read("journal") == "up\nslow\n" })

	end.Close()
	_ = cmd.Wait()
	if got := cmd.ProcessState; got.ExitCode() != 2 || !strings.Contains(read("log"), "panic: supervisor: unknown action <nil>") {
		t.Errorf("it ended with %v", got)
	}
	if err := <-answered; err == nil {
		t.Error("the operator was answered")
	}
	s.until("web is asked", func() bool { return read("journal") == "up\nslow\nasked\n" })
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	s.until("nothing is left", func() bool { return !carried(marker) })
	if got, want := read("journal"), "up\nslow\nasked\ndown\n"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
	if log := read("log"); !strings.Contains(log, "the guard has ended") {
		t.Error("the guard does not say that it has finished")
	}
}

// carried tells whether a living process has the variable.
func carried(variable string) bool {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range all {
		if env, _ := os.ReadFile(path); bytes.Contains(env, []byte(variable+"\x00")) {
			return true
		}
	}
	return false
}
