package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nodeFile is a file of the client for Node.
func nodeFile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../clients/node", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatalf("%v: make setup installs it", err)
	}
	if _, err := os.Stat(path); err != nil { // so that go keeps no result of what the file was before
		t.Fatal(err)
	}
	return path
}

// nodeHouse is a supervisor of two workers of a server for Node, which listens
// on its port and is preloaded with the client.
func nodeHouse(t *testing.T, server string, more ...string) *house {
	t.Helper()
	h := found(t)
	_, port, err := net.SplitHostPort(h.addr)
	if err != nil {
		t.Fatal(err)
	}
	h.configure(fmt.Sprintf(`
[listen]
web = %q
[program.web]
command = ["node", "-r", %q, %q]
env = { PORT = %q }
workers = 2
listen = ["web"]
`, h.addr, nodeFile(t, "lastcall.js"), nodeFile(t, "fixtures/"+server), port) + strings.Join(more, ""))
	return h
}

// eachNodeServer runs a test on unchanged servers of node:http and of express.
func eachNodeServer(t *testing.T, test func(t *testing.T, h *house)) {
	t.Run("http", func(t *testing.T) { test(t, nodeHouse(t, "server.js")) })
	t.Run("express", func(t *testing.T) {
		dir := installExpress(t)
		h := nodeHouse(t, "server.js")
		h.env = append(h.env, "EXPRESS=1", "NODE_PATH="+dir)
		test(t, h)
	})
}

// installExpress returns a directory of modules with express in it. Without a
// network the test is skipped.
func installExpress(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	npm := exec.Command("npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error", "express@5")
	if out, err := npm.CombinedOutput(); err != nil {
		if regexp.MustCompile(`ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH`).Match(out) {
			t.Skipf("npm cannot reach its registry: %s", out)
		}
		t.Fatalf("install express: %v\n%s", err, out)
	}
	return filepath.Join(dir, "node_modules")
}

// Regulars are clients that keep their connections, and send nothing twice: what
// is not answered is lost. Who is asked to close comes back.
type regulars struct {
	served, lost, closed atomic.Int64
	first                atomic.Pointer[error]
	end                  func()
}

// regulars starts clients of every pace: some ask again at once, some are idle
// for most of the time.
func (h *house) regulars(clients int) *regulars {
	r := &regulars{}
	over := make(chan struct{})
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			pace := time.NewTicker(1 + time.Duration(i)*20*time.Millisecond)
			defer pace.Stop()
			for r.stays(h.addr, pace.C, over) {
			}
		})
	}
	r.end = sync.OnceFunc(func() { close(over); all.Wait() })
	h.t.Cleanup(r.end)
	return r
}

// stays uses one connection for as long as the server keeps it.
func (r *regulars) stays(addr string, pace <-chan time.Time, over <-chan struct{}) bool {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		r.loses(err)
		return false
	}
	defer c.Close()
	v := newVisitor(c)
	for {
		select {
		case <-over:
			return false
		case <-pace:
		}
		_, closes, err := v.ask()
		if err != nil {
			r.loses(err)
			return true
		}
		r.served.Add(1)
		if closes {
			r.closed.Add(1)
			return true
		}
	}
}

func (r *regulars) loses(err error) {
	r.lost.Add(1)
	r.first.CompareAndSwap(nil, &err)
}

// TestNodeRolls rolls unchanged servers under clients that keep their connections
// and others that do not. Nobody loses a request.
func TestNodeRolls(t *testing.T) {
	eachNodeServer(t, func(t *testing.T, h *house) {
		h.start()
		h.logged("msg=ready\n")
		kept, queue := h.regulars(16), h.queue(8)
		for range 3 {
			queue.more(h, 200)
			h.do("restart")
		}
		queue.more(h, 200)
		queue.lost(h, 0)
		kept.end()
		t.Logf("connections kept: %d served, %d lost, %d asked to close", kept.served.Load(), kept.lost.Load(), kept.closed.Load())
		if n := kept.lost.Load(); n > 0 {
			t.Errorf("%d requests on kept connections are lost; the first: %v", n, *kept.first.Load())
		}
		if kept.closed.Load() == 0 {
			t.Error("nobody was asked to close: no roll was under load")
		}
		pids := 0
		queue.by.Range(func(any, any) bool { pids++; return true })
		if pids != 8 {
			t.Errorf("%d workers have served, want 8: two of each generation", pids)
		}
		h.stops(0)
	})
}

// TestNodeStops stops an unchanged server under clients that connect, and with a
// request in progress.
func TestNodeStops(t *testing.T) {
	eachNodeServer(t, func(t *testing.T, h *house) {
		h.stopConnecting()
		h.start()
		h.logged("msg=ready\n")
		v := h.visit()
		if _, err := v.Write([]byte("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		h.logged("slow has begun")
		h.send(syscall.SIGTERM)
		if pid, closes, err := v.answer(); err != nil || !closes || pid == "" {
			t.Errorf("answered by %q, asked to close: %v, %v", pid, closes, err)
		}
		h.ends(0)
	})
}

// TestNodeCrashes kills a worker: it is replaced, and the other serves on.
func TestNodeCrashes(t *testing.T) {
	h := nodeHouse(t, "server.js")
	h.start()
	h.logged("msg=ready\n")
	victim := h.worker("web.0").PID
	if err := unix.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.until("it is replaced", func() bool {
		pid, err := askPid(h.addr)
		if err != nil && !strings.Contains(err.Error(), "reset") && err.Error() != `answer ""` { // those that the victim had accepted
			t.Fatal(err)
		}
		w := h.worker("web.0")
		return pid != "" && w.State == "ready" && w.PID != victim
	})
	h.stops(0)
}

// TestNodeOperations has a roll wait for work that its request is long over; the
// worker says itself what it does.
func TestNodeOperations(t *testing.T) {
	h := nodeHouse(t, "worker.js")
	h.start()
	h.logged("msg=ready\n")
	if got := h.worker("web.1").Status; got != "waits for sets" {
		t.Errorf("its status is %q", got)
	}
	busy, err := askPid(h.addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	roll := h.command("restart")
	go func() { done <- roll.Run() }()
	h.until("both are draining", func() bool { return strings.Count(h.read("journal"), "draining") == 2 })
	h.until("the idle one has ended", func() bool { return len(h.workers()) == 3 })
	out, err := h.command("inflight").CombinedOutput()
	if err != nil || !regexp.MustCompile(`web\.[01] .*write the set`).Match(out) {
		t.Errorf("inflight: %v\n%s", err, out)
	}
	if _, err := os.Stat("/proc/" + busy); err != nil {
		t.Error("the worker has not waited for its operation")
	}
	if strings.Contains(h.read("journal"), "written") {
		t.Error("the operation has ended too early")
	}
	if err := os.WriteFile(h.path("go"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("restart: %v", err)
	}
	if !strings.HasSuffix(h.read("journal"), "written\n") {
		t.Errorf("journal %q", h.read("journal"))
	}
	h.stops(0)
}

// TestNodeIsCut stops a worker whose operation, and whose request, do not end in
// time: it cuts them itself, and they are named.
func TestNodeIsCut(t *testing.T) {
	h := nodeHouse(t, "worker.js", "drain_timeout = \"1s\"\n")
	h.start()
	h.logged("msg=ready\n")
	if _, err := askPid(h.addr); err != nil {
		t.Fatal(err)
	}
	v := h.visit()
	if _, err := v.Write([]byte("GET /held?secret HTTP/1.1\r\nHost: test\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	h.logged("held")
	h.send(syscall.SIGTERM)
	if _, _, err := v.answer(); err == nil {
		t.Error("the request was answered")
	}
	h.ends(5)
	for _, name := range []string{"write the set", "GET /held"} {
		if !regexp.MustCompile(`msg=gone .* cut="[^"]*` + name).MatchString(h.read("log")) {
			t.Errorf("the log does not name %s", name)
		}
	}
	if strings.Contains(h.read("log"), "killed") || strings.Contains(h.read("log"), "secret") {
		t.Error("it was killed, or the query is in the log")
	}
}

// TestNodeWrapped starts the server by a shell that stays: it says what is wrong.
func TestNodeWrapped(t *testing.T) {
	h := nodeHouse(t, "server.js")
	text := h.read("lastcall.toml")
	command := regexp.MustCompile(`command = .*`)
	h.configure(command.ReplaceAllString(text, fmt.Sprintf(`command = ["sh", "-c", "node -r %s %s; exit 1"]`, nodeFile(t, "lastcall.js"), nodeFile(t, "fixtures/server.js"))))
	h.start()
	h.logged("but the socket for it was passed to pid ")
	h.logged("Let lastcall run node itself")
	h.ends(3) // it did not start
}
