package demo

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lastcall/lastcall/examples/siege/load"
)

// good is a drama in which nothing went wrong.
func good(t *testing.T) *drama {
	t.Helper()
	at := time.Now()
	d := &drama{dir: t.TempDir(), answer: "done last by 1", answered: at}
	d.load.KeepAlive = load.Result{Sent: 3, Answered: 3}
	d.load.Jobs = load.Result{Sent: 1, Answered: 1, Jobs: []string{"a"}}
	d.restarts = []restart{{}, {}}
	for i, name := range []string{"web.0", "web.1", "redis.0", "supervisor"} {
		d.endings = append(d.endings, ending{process{name, i}, at.Add(time.Duration(i))})
	}
	write(t, d, "a", steps)
	write(t, d, "last", last)
	return d
}

func write(t *testing.T, d *drama, name string, parts int) {
	t.Helper()
	dir := filepath.Join(d.dir, "siege_data", name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for i := range parts {
		if err := os.WriteFile(filepath.Join(dir, "part-"+strconv.Itoa(i)), make([]byte, 1024), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// The report must find each fault, and none where there is none.
func TestReportFindsFaults(t *testing.T) {
	for want, plant := range map[string]func(d *drama){
		"":                               func(*drama) {},
		"1 of 5 requests lost":           func(d *drama) { d.load.Single = load.Result{Sent: 1, Lost: map[string]int{"reset": 1}} },
		"0 of 0 requests lost":           func(d *drama) { d.load.KeepAlive, d.load.Jobs = load.Result{}, load.Result{} },
		"restart 2: no":                  func(d *drama) { d.restarts[1].err = errors.New("no") },
		"2 whole sets and 1 half-":       func(d *drama) { write(t, d, "b.part", 1) },
		"1 whole sets and 1 half-":       func(d *drama) { write(t, d, "a", steps+1) },
		"3 whole sets and 0 half-":       func(d *drama) { write(t, d, "c", steps) },
		"at the stop: status 503":        func(d *drama) { d.answer = "status 503" },
		"exit code is 6":                 func(d *drama) { d.code = 6 },
		"redis.0 (pid 2) is left behind": func(d *drama) { d.endings[2].at = time.Time{} },
		"web.1 and redis.0 ended in":     func(d *drama) { d.endings[1].at = d.endings[2].at.Add(1) },
		"redis.0 and supervisor ended":   func(d *drama) { d.endings[2].at = d.endings[3].at.Add(1) },
	} {
		d := good(t)
		var out bytes.Buffer
		d.Out = &out
		plant(d)
		faults := strings.Join(d.report(), "\n")
		if !strings.Contains(faults, want) || want == "" && faults != "" {
			t.Errorf("faults %q, want %q", faults, want)
		}
		if nothing := strings.Contains(out.String(), "nothing lost"); nothing != (want == "") {
			t.Errorf("fault %q, and the report says %s", want, &out)
		}
	}
}

func TestWatchEndings(t *testing.T) {
	var tree []process
	var inputs []func() error
	for _, name := range []string{"a", "b", "c"} {
		cmd := exec.Command("cat")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		tree = append(tree, process{name, cmd.Process.Pid})
		inputs = append(inputs, func() error { return errors.Join(in.Close(), cmd.Wait()) })
	}
	watch, err := watchEndings(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{1, 0} { // c is left
		if err := inputs[i](); err != nil {
			t.Fatal(err)
		}
	}
	got := watch(500 * time.Millisecond) // c is waited for in vain
	if err := inputs[2](); err != nil {
		t.Fatal(err)
	}
	if a, b, c := got[0].at, got[1].at, got[2].at; a.IsZero() || b.IsZero() || !c.IsZero() || a.Before(b) {
		t.Errorf("a ended at %v, b at %v, c at %v, want b, a, and c not", a, b, c)
	}
	if _, err := watchEndings(tree); err == nil {
		t.Error("watchEndings accepts a process that has ended")
	}
}

// The configuration has the ports that the demo replaces.
func TestPrepare(t *testing.T) {
	toml, err := os.ReadFile("../lastcall.toml")
	if err != nil {
		t.Fatal(err)
	}
	d := &drama{Config: Config{TOML: string(toml), Siege: "/bin/true"}, dir: t.TempDir()}
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(d.dir, "lastcall.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(got), ":8080") || strings.Contains(string(got), "4740") || !strings.Contains(string(got), d.addr) {
		t.Errorf("the demo would run with\n%s", got)
	}
}
