package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// An upgrade that fails when all has been made ready for it, as on a full disk,
// is refused, however often: clients lose nothing, workers are heard to the half
// of a line, there is a guard, and the next upgrade comes through.
func TestUpgradeThatFailsHalfWay(t *testing.T) {
	t.Parallel()
	const tries = 3
	h := found(t)
	h.env = []string{"TMPDIR=" + h.path("tmp")} // where the state is written
	h.configure(fmt.Sprintf(upgradeFile, h.addr, h.path("brisk")))
	h.start()
	h.logged("msg=ready\n")
	load := hold(h.addr, 4)
	before := h.identity()
	for range tries {
		out, err := h.command("upgrade").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "lastcall: upgrade: write state: open "+h.path("tmp")) {
			t.Errorf("upgrade: %v: %s", err, out)
		}
		h.guarded()
	}
	if got := h.identity(); got != before {
		t.Errorf("it was\n%s\nand is\n%s", before, got)
	}
	if err := os.Mkdir(h.path("tmp"), 0o777); err != nil {
		t.Fatal(err)
	}
	if out, err := h.command("upgrade").CombinedOutput(); err != nil {
		t.Errorf("upgrade: %v: %s", err, out)
	}
	h.guarded()
	if answered, lost := load.end(); answered == 0 || len(lost) > 0 {
		t.Errorf("%d requests answered, %d lost: %v", answered, len(lost), lost)
	}
	h.stops(0)
	h.checkLines("log")
}

// guarded wants one guard and no other.
func (h *house) guarded() {
	h.t.Helper()
	h.until("there is one guard", func() bool {
		var guards []int
		for _, pid := range h.left() {
			if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(name) == "lastcall-guard\n" {
				guards = append(guards, pid)
			}
		}
		return slices.Equal(guards, []int{h.status().Guard})
	})
}

// At whatever moment of an upgrade there are no descriptors left: it is refused
// and nothing changes, or it comes through. Whoever is asked to stop by a guard
// that takes the supervisor for dead would be replaced.
func TestUpgradeWithoutDescriptors(t *testing.T) {
	t.Parallel()
	const most = 24
	h := found(t)
	many := strings.Replace(upgradeFile, "workers = 2", "workers = 8", 1) // each of which needs one
	h.configure(fmt.Sprintf(many, h.addr, h.path("brisk")))
	h.start()
	h.logged("msg=ready\n")
	load := hold(h.addr, 4)
	before := h.identity()
	pid := h.cmd.Process.Pid
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	count := func(what string) int { return strings.Count(h.read("log"), what) }
	for room := range most {
		low := unix.Rlimit{Cur: withRoom(pid, room), Max: limit.Max}
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &low, nil); err != nil {
			t.Fatal(err)
		}
		h.send(syscall.SIGUSR2)
		h.until(fmt.Sprintf("the upgrade with %d descriptors is done", room), func() bool {
			return count("upgrade refused")+count("supervisor upgraded") > room
		})
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			t.Fatal(err)
		}
		h.guarded()
	}
	if refused, done := count("upgrade refused"), count("supervisor upgraded"); refused == 0 || done == 0 {
		t.Errorf("%d upgrades refused, %d done", refused, done)
	}
	if count("without a guard") > 0 {
		t.Error("there was no guard")
	}
	if got := h.identity(); got != before {
		t.Errorf("it was\n%s\nand is\n%s", before, got)
	}
	if answered, lost := load.end(); answered == 0 || len(lost) > 0 {
		t.Errorf("%d requests answered, %d lost: %v", answered, len(lost), lost)
	}
	h.stops(0)
	h.checkLines("log")
}

// withRoom returns the limit under which a process can open so many descriptors
// more.
func withRoom(pid, room int) uint64 {
	open := make(map[int]bool)
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		open[n] = true
	}
	n := 0
	for ; room > 0 || open[n]; n++ {
		if !open[n] {
			room--
		}
	}
	return uint64(n)
}

// clog starts a supervisor whose output nobody reads, and returns when no line
// goes into it any more.
func (h *house) clog() (output *os.File) {
	h.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { r.Close() })
	size, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
	if err != nil {
		h.t.Fatal(err)
	}
	h.stdout = w
	h.configure(fmt.Sprintf(upgradeFile, h.addr, h.path("brisk")))
	h.start()
	w.Close()
	h.logged("msg=ready\n")
	h.until("the output is full", func() bool {
		n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
		if err != nil {
			h.t.Fatal(err)
		}
		return n > size-20 // which is less than a line
	})
	return r
}

// While nobody takes what the workers write, it cannot be handed over: an
// upgrade is refused after some seconds. Nobody is deaf then: when somebody
// reads again no line is missing, and the next upgrade comes through.
func TestUpgradeWithAReaderThatDoesNotHalt(t *testing.T) {
	t.Parallel()
	h := found(t)
	output := h.clog()
	load := hold(h.addr, 4)
	before := h.identity()
	out, err := h.command("upgrade").CombinedOutput()
	if err == nil || string(out) != "lastcall: upgrade: nobody reads what the workers write\n" {
		t.Errorf("upgrade: %v: %s", err, out)
	}
	if got := h.identity(); got != before {
		t.Errorf("it was\n%s\nand is\n%s", before, got)
	}
	h.guarded()
	file, err := os.Create(h.path("lines"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(file, output)
		read <- err
	}()
	if out, err := h.command("upgrade").CombinedOutput(); err != nil {
		t.Errorf("upgrade: %v: %s", err, out)
	}
	had := len(h.read("lines"))
	h.until("the workers are heard", func() bool { return len(h.read("lines")) > had+1000 })
	for _, name := range []string{"web.0", "web.1"} {
		if out, err := h.command("inflight", name).CombinedOutput(); err != nil {
			t.Errorf("inflight %s: %v: %s", name, err, out)
		}
		if w := h.worker(name); w.Inflight < 0 {
			t.Errorf("%s does not say what it does: %+v", name, w)
		}
	}
	if answered, lost := load.end(); answered == 0 || len(lost) > 0 {
		t.Errorf("%d requests answered, %d lost: %v", answered, len(lost), lost)
	}
	h.stops(0)
	if err := <-read; err != nil {
		t.Error(err)
	}
	h.checkLines("lines")
}

// A stop does not wait for an upgrade that waits for somebody to read.
func TestStopWhileAReaderDoesNotHalt(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.clog()
	h.send(syscall.SIGUSR2)
	h.logged("msg=upgrading")
	h.stops(0)
	h.order("msg=upgrading", `msg="upgrade refused, nothing is changed" err="upgrade: told to stop"`, "msg=draining worker=web.0", "supervisor ended")
}

// What a state cannot say is no reason to start workers with something else
// after an upgrade: it is refused.
func TestUpgradeWithArgumentsThatAreNoText(t *testing.T) {
	t.Parallel()
	h := found(t)
	h.start("--workers", "2", "--listen", "web="+h.addr, "--", h.path("brisk"), "caf\xe9")
	h.logged("msg=ready\n")
	load := hold(h.addr, 2)
	before, guard := h.identity(), h.status().Guard
	const why = "upgrade: write state: the configuration or a worker's environment has text that is not UTF-8"
	if out, err := h.command("upgrade").CombinedOutput(); err == nil || string(out) != "lastcall: "+why+"\n" {
		t.Errorf("upgrade: %v: %s", err, out)
	}
	h.send(syscall.SIGUSR2)
	h.until("both are refused", func() bool { return strings.Count(h.read("log"), why) == 2 })
	if got := h.identity(); got != before {
		t.Errorf("it was\n%s\nand is\n%s", before, got)
	}
	if got := h.status().Guard; got != guard {
		t.Errorf("the guard was process %d and is %d", guard, got)
	}
	if answered, lost := load.end(); answered == 0 || len(lost) > 0 {
		t.Errorf("%d requests answered, %d lost: %v", answered, len(lost), lost)
	}
	h.stops(0)
	if strings.Contains(h.read("log"), "msg=upgrading") {
		t.Error("it has begun an upgrade")
	}
}
