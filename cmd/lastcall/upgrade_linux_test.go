package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// upgradeFile is two workers that write lines in halves, and a helper.
const upgradeFile = `
[listen]
web = %q
[program.helper]
command = ["sh", "-c", "trap 'kill $!; exit' TERM; sleep 600 & wait"]
min_uptime = "10ms"
[program.web]
command = [%q]
workers = 2
listen = ["web"]
depends_on = ["helper"]
env = { TALK = "1" }
`

// An upgrade is no client's business: fifty in a row, under clients that keep
// their connections and send nothing twice.
func TestB18UpgradeUnderLoad(t *testing.T) {
	const upgrades, early = 50, 5
	h := found(t)
	h.configure(fmt.Sprintf(upgradeFile, h.addr, h.path("brisk")))
	h.start()
	h.logged("msg=ready\n")
	load := hold(h.addr, 8)
	pid, before := h.cmd.Process.Pid, h.identity()
	var files int
	for i := range upgrades {
		if out, err := h.command("upgrade").CombinedOutput(); err != nil {
			t.Fatalf("upgrade %d: %v: %s", i, err, out)
		}
		if i == early {
			files = openFiles(pid)
		}
	}
	if st := h.status(); st.Upgrades != upgrades || st.PID != pid {
		t.Errorf("%d upgrades of process %d, want %d of %d", st.Upgrades, st.PID, upgrades, pid)
	}
	if got := h.identity(); got != before {
		t.Errorf("it was\n%s\nand is\n%s", before, got)
	}
	h.until("no more descriptors are open than after the first upgrades", func() bool { return openFiles(pid) <= files })
	answered, lost := load.end()
	if answered < upgrades || len(lost) > 0 {
		t.Errorf("%d requests answered, %d lost: %v", answered, len(lost), lost)
	}
	h.stops(0)
	h.checkLines("log")
}

// identity is all that an upgrade must not change: arguments, environment,
// directory, sockets and workers.
func (h *house) identity() string {
	h.t.Helper()
	var b strings.Builder
	dir := fmt.Sprintf("/proc/%d/", h.cmd.Process.Pid)
	line, err := os.ReadFile(dir + "cmdline")
	if err != nil {
		h.t.Fatal(err)
	}
	args := strings.Split(string(line), "\x00")
	args[0] = filepath.Base(args[0]) // the test binary takes the directory away when it plays the command
	env, err := os.ReadFile(dir + "environ")
	if err != nil {
		h.t.Fatal(err)
	}
	cwd, err := os.Readlink(dir + "cwd")
	if err != nil {
		h.t.Fatal(err)
	}
	// Where the state was is the one thing that is new; it is no child's.
	vars := slices.DeleteFunc(strings.Split(string(env), "\x00"), func(kv string) bool { return strings.HasPrefix(kv, "LASTCALL_STATE=") })
	slices.Sort(vars)
	fmt.Fprintf(&b, "%q\n%q\n%s\n%v\n", args, vars, cwd, h.listening())
	for _, p := range h.status().Programs {
		for _, w := range p.Workers {
			fmt.Fprintln(&b, w.Worker, w.Life, w.PID, w.State, w.Generation, w.Restarts)
		}
	}
	return b.String()
}

// listening returns the inode of the listening socket, by its port, of those
// that the supervisor holds.
func (h *house) listening() (inodes []string) {
	h.t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		h.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(h.addr)
	n, _ := strconv.Atoi(port)
	held := links(h.cmd.Process.Pid)
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) > 9 && f[1] == fmt.Sprintf("0100007F:%04X", n) && f[3] == "0A" && held["socket:["+f[9]+"]"] {
			inodes = append(inodes, f[9])
		}
	}
	if len(inodes) != 1 {
		h.t.Errorf("the supervisor holds the listening sockets %v, want one", inodes)
	}
	return inodes
}

func links(pid int) map[string]bool {
	out := make(map[string]bool)
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		to, _ := os.Readlink(dir + e.Name())
		out[to] = true
	}
	return out
}

func openFiles(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// stops ends the supervisor, and wants its exit code and nothing left.
func (h *house) stops(code int) {
	h.t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		h.t.Fatal(err)
	}
	h.ends(code)
}

func (h *house) ends(code int) {
	h.t.Helper()
	_ = h.cmd.Wait()
	if got := h.cmd.ProcessState; got.ExitCode() != code {
		h.t.Errorf("it ended with %v, want exit code %d", got, code)
	}
	if left := h.left(); len(left) > 0 {
		h.t.Errorf("left %v", left)
	}
	h.free()
}

// checkLines wants every line of every worker whole, and none missing.
func (h *house) checkLines(file string) {
	h.t.Helper()
	whole := regexp.MustCompile(`^line (\d+) of (\d+) ends (\d+)$`)
	next := make(map[string]int)
	for line := range strings.Lines(h.read(file)) {
		if !strings.Contains(line, "line ") && !strings.Contains(line, "ends ") {
			continue
		}
		m := whole.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			// The last one, in the midst of which its worker ended.
			if m = regexp.MustCompile(`^line (\d+) of (\d+) $`).FindStringSubmatch(strings.TrimSuffix(line, "\n")); m == nil {
				h.t.Errorf("not a line of a worker: %q", line)
				continue
			}
			m = append(m, m[1])
		}
		if want := strconv.Itoa(next[m[2]]); m[1] != want || m[3] != want {
			h.t.Errorf("%q, want line %s", line, want)
		}
		next[m[2]]++
	}
	if len(next) == 0 {
		h.t.Error("there are no lines")
	}
}

// A holder is clients on connections that they keep: each sends the next
// request when the last is answered, and none twice.
type holder struct {
	quit     chan struct{}
	running  sync.WaitGroup
	answered atomic.Int64
	mu       sync.Mutex
	lost     []error
}

func hold(addr string, n int) *holder {
	c := &holder{quit: make(chan struct{})}
	for range n {
		c.running.Go(func() {
			if err := c.send(addr); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.lost = append(c.lost, err)
			}
		})
	}
	return c
}

func (c *holder) send(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
		case <-c.quit:
			return nil
		}
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return err
		}
		r, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
		if r.StatusCode != http.StatusOK || r.Close {
			return errors.New(r.Status)
		}
		c.answered.Add(1)
	}
}

func (c *holder) end() (answered int64, lost []error) {
	close(c.quit)
	c.running.Wait()
	return c.answered.Load(), c.lost
}

// A signal that comes around an upgrade, when for some milliseconds nobody
// handles it, does not end the supervisor: USR1 is taken later. HUP is too, or
// it is lost.
func TestB18SignalsAroundTheUpgrade(t *testing.T) {
	const rounds = 40
	h := found(t)
	h.configure(fmt.Sprintf(upgradeFile, h.addr, h.path("brisk")))
	h.start()
	h.logged("msg=ready\n")
	ended := make(chan struct{})
	go func() { _ = h.cmd.Wait(); close(ended) }()
	count := func(what string) int { return strings.Count(h.read("log"), what) }
	for i := range rounds {
		sig := []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1}[i%2]
		moment := time.Duration(rand.IntN(60_000)) * time.Microsecond
		h.send(syscall.SIGUSR2)
		<-time.After(moment)
		h.send(sig)
		h.until(fmt.Sprintf("the upgrade is done, and %v, %v after USR2, is taken", sig, moment), func() bool {
			select {
			case <-ended:
				t.Fatalf("the supervisor ended, %v: %v came %v after USR2", h.cmd.ProcessState, sig, moment)
			default:
			}
			return count("supervisor upgraded") == i+1 && count("no log to reopen") == (i+1)/2
		})
	}
	h.send(syscall.SIGTERM)
	<-ended
}

// A stop around an upgrade is a stop: by the old executable, the new one, or
// between them by the guard.
func TestB18StopAroundTheUpgrade(t *testing.T) {
	const rounds = 40
	for range rounds {
		moment := time.Duration(rand.IntN(60_000)) * time.Microsecond
		t.Run(moment.String(), func(t *testing.T) { stopAroundTheUpgrade(t, moment) })
	}
}

func stopAroundTheUpgrade(t *testing.T, moment time.Duration) {
	h := found(t)
	h.configure(fmt.Sprintf(upgradeFile, h.addr, h.path("brisk")))
	h.start()
	h.logged("msg=ready\n")
	h.send(syscall.SIGUSR2)
	<-time.After(moment)
	h.send(syscall.SIGTERM)
	ended := make(chan struct{})
	go func() { _ = h.cmd.Wait(); close(ended) }()
	h.until("it ends", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	h.until("nothing is left", func() bool { return len(h.left()) == 0 })
	log := h.read("log")
	if got := h.cmd.ProcessState; got.ExitCode() != 0 && !strings.Contains(log, "the guard has ended") {
		t.Errorf("it ended with %v", got)
	}
	if strings.Contains(log, "killed") {
		t.Error("a worker was killed")
	}
}

// What came before the upgrade is done before or after it, but done.
func TestB18SignalsBeforeTheUpgrade(t *testing.T) {
	h := build(t)
	h.logged("msg=ready\n")
	for i := range 10 {
		h.send(syscall.SIGHUP)
		h.send(syscall.SIGUSR2)
		h.until("both are taken", func() bool {
			log := h.read("log")
			return strings.Count(log, "supervisor upgraded") == i+1 && strings.Count(log, "msg=reloaded") == i+1
		})
	}
	h.send(syscall.SIGTERM)
	h.send(syscall.SIGUSR2)
	h.ends(0)
}

func (h *house) send(sig syscall.Signal) {
	h.t.Helper()
	if err := h.cmd.Process.Signal(sig); err != nil {
		h.t.Fatalf("%v to the supervisor: %v", sig, err)
	}
}
