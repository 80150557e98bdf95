package proc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestExitString(t *testing.T) {
	for want, e := range map[string]Exit{
		"exit status 0":       {},
		"exit status 3":       {Code: 3},
		"exit status unknown": {Code: -1},
		"killed by SIGTERM":   {Signal: syscall.SIGTERM},
		"killed by signal 99": {Signal: 99},
	} {
		if got := e.String(); got != want {
			t.Errorf("%#v: %q, want %q", e, got, want)
		}
	}
}

func TestExit(t *testing.T) {
	c := newChildren(t)
	for _, test := range []struct {
		script string
		want   Exit
	}{
		{"exit 0", Exit{}},
		{"exit 3", Exit{Code: 3}},
		{"exit 255", Exit{Code: 255}},
		{"kill -USR1 $$", Exit{Signal: syscall.SIGUSR1}},
		{"kill -KILL $$", Exit{Signal: syscall.SIGKILL}},
		{"kill -SEGV $$", Exit{Signal: syscall.SIGSEGV}},
	} {
		p := start(t, c, shell(test.script))
		wait(t, "gone", p.Gone())
		if !isClosed(p.Exited()) {
			t.Errorf("%s: gone, but not exited", test.script)
		}
		if p.Exit() != test.want {
			t.Errorf("%s: %v, want %v", test.script, p.Exit(), test.want)
		}
	}
}

func TestExitBeforeTheEnd(t *testing.T) {
	c := newChildren(t)
	in, hold := pipe(t)
	s := shell("read x; exit 3")
	s.Stdin = in
	p := start(t, c, s)
	if p.Exit() != (Exit{}) || isClosed(p.Exited()) || isClosed(p.Gone()) {
		t.Errorf("running, but it says %v", p.Exit())
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "exited", p.Exited())
	if want := (Exit{Code: 3}); p.Exit() != want {
		t.Errorf("%v, want %v", p.Exit(), want)
	}
}

func TestStartErrors(t *testing.T) {
	c := newChildren(t)
	closed, _ := pipe(t)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*Spec)
		want   error // nil: any
	}{
		"no path":        {func(s *Spec) { s.Path = "" }, nil},
		"no arguments":   {func(s *Spec) { s.Args = nil }, nil},
		"no directory":   {func(s *Spec) { s.Dir = "/nowhere/at/all" }, os.ErrNotExist},
		"a file":         {func(s *Spec) { s.Dir = "/etc/passwd" }, syscall.ENOTDIR},
		"bad descriptor": {func(s *Spec) { s.Files = []int{-1} }, syscall.EBADF},
		"not open":       {func(s *Spec) { s.Files = []int{1 << 20} }, syscall.EBADF},
		"closed file":    {func(s *Spec) { s.Stdout = closed }, os.ErrClosed},
		"NUL":            {func(s *Spec) { s.Env = []string{"A=\x00"} }, syscall.EINVAL},
		"no such user":   {func(s *Spec) { s.User = "nobody-at-all" }, nil},
		"no group":       {func(s *Spec) { s.User = "0:wheel" }, nil},
		"no id":          {func(s *Spec) { s.User = "4294967295:0" }, nil},
	} {
		s := shell("exit 0")
		test.change(&s)
		p, err := c.Start(s)
		if p != nil || err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		} else if !strings.HasPrefix(err.Error(), "start "+s.Path) {
			t.Errorf("%s: %q names no program", name, err)
		}
	}
}

// The shim's own failures are those of a shell, and say more.
func TestNotExecutable(t *testing.T) {
	c := newChildren(t)
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"stranger": "#! /nowhere/python -u\n", "windows": "#!/bin/sh\r\necho\r\n", "bare": "echo\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		path string
		code int
		want string
	}{
		{"./stranger", 127, `lastcall: start ./stranger: no such file or directory; the file is there, but not "/nowhere/python", which its first line names: install that, or correct the line`},
		{"./windows", 127, `lastcall: start ./windows: no such file or directory; the file is there, but not "/bin/sh\r", which its first line names: install that, or correct the line`},
		{"./bare", 126, "lastcall: start ./bare: exec format error; it is no program for this machine, and no script, since its first line does not begin with #!"},
		{"./missing", 127, "lastcall: start ./missing: no such file or directory"},
		{text, 126, "lastcall: start " + text + ": permission denied"},
		{dir, 126, "lastcall: start " + dir + ": permission denied"},
	} {
		exit, out := run(t, c, Spec{Path: test.path, Args: []string{"x"}, Dir: dir})
		if want := (Exit{Code: test.code}); exit != want || out != test.want {
			t.Errorf("%s: %v, %q; want %v, %q", test.path, exit, out, want, test.want)
		}
	}
}

// A program that another system's loader is for is there, and yet it is not.
func TestLacksItsLoader(t *testing.T) {
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	program := strings.Replace(string(shell), "\x00/lib", "\x00/bil", 1)
	if program == string(shell) {
		t.Skip("the shell has no dynamic loader")
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	exit, out := run(t, newChildren(t), Spec{Path: path, Args: []string{"x"}})
	if exit != (Exit{Code: 127}) || !strings.Contains(out, "; the file is there, but not its dynamic loader: ") {
		t.Errorf("%v, %q", exit, out)
	}
}

func TestRelativePath(t *testing.T) {
	c := newChildren(t)
	dir := t.TempDir()
	odd := "a b\n\xff"
	if err := os.Symlink("/bin/sh", filepath.Join(dir, odd)); err != nil {
		t.Fatal(err)
	}
	exit, out := run(t, c, Spec{Path: "./" + odd, Args: []string{"sh", "-c", "pwd"}, Dir: dir})
	if exit != (Exit{}) || out != dir {
		t.Errorf("%v, %q; want %q", exit, out, dir)
	}
}

func TestEnvironment(t *testing.T) {
	c := newChildren(t)
	s := Spec{Path: "/usr/bin/env", Args: []string{"env"}, Env: []string{
		"A=1", "B=", "LISTEN_PID=1", "A=2", orderVariable + "=0 free - /bin/false",
	}}
	if exit, out := run(t, c, s); exit != (Exit{}) || out != "B=\nLISTEN_PID=1\nA=2" {
		t.Errorf("%v, %q", exit, out)
	}
}

func TestListenPid(t *testing.T) {
	c := newChildren(t)
	s := shell("echo $$ $LISTEN_PID $LISTEN_FDS ${" + orderVariable + "-none}")
	s.Env = append(s.Env, "LISTEN_PID=1", "LISTEN_FDS=2")
	p, out := lines(t, c, s)
	pid := itoa(p.Pid())
	if got, want := line(t, out), pid+" "+pid+" 2 none"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDefaultInputIsNull(t *testing.T) {
	c := newChildren(t)
	s := shell("read x && exit 1; echo lost; echo lost >&2; exit 4")
	p := start(t, c, s)
	wait(t, "exited", p.Exited())
	if want := (Exit{Code: 4}); p.Exit() != want {
		t.Errorf("%v, want %v", p.Exit(), want)
	}
}

func TestRecycledPid(t *testing.T) {
	c := &Children{started: make(map[int]*Process)}
	old := &Process{pid: 5, reaped: true, gone: make(chan struct{})}
	c.enter(old)
	young := &Process{pid: 5, gone: make(chan struct{})}
	c.enter(young)
	if !isClosed(old.gone) || isClosed(young.gone) || c.started[5] != young {
		t.Error("the pid has a new owner, but the old one is not gone")
	}
}

func TestParseOrder(t *testing.T) {
	want := order{files: 2, held: true, user: "1:2:3,4", path: "/a b/ c"}
	value := strings.TrimPrefix(want.encode(), orderVariable+"=")
	if got, err := parseOrder(value); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "1", "1 -", "1 held -", "x held - /bin/sh", "-1 held - /bin/sh", "1 - - /bin/sh"} {
		if got, err := parseOrder(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// What is understood can be said again, and means the same.
func FuzzParseOrder(f *testing.F) {
	for _, s := range []string{"2 1:2:3,4 /a b/ c", "0 - /x", "00 - ", "+1 - x", "-1 - x", "9999999999999999999 - x", "1  x", "\x00 \xff \n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOrder(s)
		if err != nil {
			if o != (order{}) {
				t.Fatalf("%q: %v and %+v", s, err, o)
			}
			return
		}
		again, err := parseOrder(strings.TrimPrefix(o.encode(), orderVariable+"="))
		if err != nil || again != o || o.files < 0 || strings.Contains(o.user, " ") {
			t.Fatalf("%q is %+v, and said again %+v, %v", s, o, again, err)
		}
	})
}
