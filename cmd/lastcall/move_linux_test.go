package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A visitor keeps one connection, and sends nothing twice.
type visitor struct {
	net.Conn
	r *bufio.Reader
}

func (h *house) visit() *visitor {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return newVisitor(c)
}

func newVisitor(c net.Conn) *visitor { return &visitor{c, bufio.NewReader(c)} }

// ask sends a request, and returns who has answered it.
func (v *visitor) ask() (pid string, closes bool, err error) {
	if err := v.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", false, err
	}
	if _, err := io.WriteString(v, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		return "", false, err
	}
	return v.answer()
}

// answer reads one.
func (v *visitor) answer() (pid string, closes bool, err error) {
	r, err := http.ReadResponse(v.r, nil)
	if err != nil {
		return "", false, err
	}
	b, err := io.ReadAll(r.Body)
	return strings.TrimSpace(string(b)), r.Close, err
}

// TestRollMovesConnections rolls the workers under clients that keep their
// connections: none is closed, none is asked to close, and all are served by
// the successors; so it is after an upgrade of the supervisor.
func TestRollMovesConnections(t *testing.T) {
	h := found(t)
	h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nworkers = 4\nlisten = [\"web\"]\n", h.addr, h.path("brisk")))
	h.start()
	h.logged("msg=ready\n")
	var visitors []*visitor
	for range 40 {
		visitors = append(visitors, h.visit())
	}
	silent := h.visit()
	all := func(when string) map[string]bool {
		pids := map[string]bool{}
		for i, v := range visitors {
			pid, closes, err := v.ask()
			if err != nil || closes {
				t.Fatalf("%s: client %d: %v, asked to close: %v", when, i, err, closes)
			}
			pids[pid] = true
		}
		return pids
	}
	before := all("at first")
	for round := range 4 {
		if round == 2 {
			h.do("upgrade")
		}
		h.do("restart")
		after := all(fmt.Sprintf("after roll %d", round+1))
		for pid := range after {
			if before[pid] {
				t.Errorf("roll %d: %s still answers", round+1, pid)
			}
		}
		before = after
	}
	if pid, closes, err := silent.ask(); err != nil || closes || pid == "" {
		t.Errorf("who had said nothing: %q, %v, %v", pid, closes, err)
	}
	h.stops(0)
}

// TestRollKeepsTheBalance rolls workers that have about as many connections
// each, and nobody ends up with the others'.
func TestRollKeepsTheBalance(t *testing.T) {
	h := found(t)
	h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nworkers = 4\nlisten = [\"web\"]\nbalance = \"slots\"\n", h.addr, h.path("brisk")))
	h.start()
	h.logged("msg=ready\n")
	var visitors []*visitor
	for range 60 {
		visitors = append(visitors, h.visit())
	}
	most := func() int {
		counts := map[string]int{}
		for i, v := range visitors {
			pid, _, err := v.ask()
			if err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
			counts[pid]++
		}
		t.Log(counts)
		return slices.Max(slices.Collect(maps.Values(counts)))
	}
	before := most()
	for range 4 {
		h.do("restart")
	}
	const asked = 3 // what each peer is given before it has said what it has
	if after := most(); after > before+asked {
		t.Errorf("one worker has %d of %d connections, where none had more than %d", after, len(visitors), before)
	}
	h.stops(0)
}

// TestLameDuckUnderASupervisor has newcomers served after the stop has begun, and
// asked to go; and the end come when they stay away, or when the time is over
// with workers that cannot tell.
func TestLameDuckUnderASupervisor(t *testing.T) {
	for worker, lame := range map[string]string{"brisk": "lame_duck = \"1m\"\nlame_duck_quiet = \"500ms\"", "foreign": "lame_duck = \"1s\""} {
		t.Run(worker, func(t *testing.T) {
			h := found(t)
			h.configure(fmt.Sprintf("[listen]\nweb = %q\n[program.web]\ncommand = [%q]\nworkers = 2\nlisten = [\"web\"]\n%s\n", h.addr, h.path(worker), lame))
			h.start()
			h.logged("msg=ready\n")
			kept := h.visit()
			if _, closes, err := kept.ask(); err != nil || closes != (worker == "foreign") {
				t.Fatalf("%v, asked to close: %v", err, closes)
			}
			begun := time.Now()
			if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			h.logged("msg=signal")
			if worker == "brisk" {
				h.logged("lame duck")
				h.until("responses ask to close", func() bool {
					v := h.visit()
					_, closes, err := v.ask()
					if err != nil {
						t.Fatal(err)
					}
					return closes
				})
				if _, closes, err := kept.ask(); err != nil || !closes {
					t.Errorf("%v, asked to close: %v", err, closes)
				}
			} else if _, _, err := h.visit().ask(); err != nil {
				t.Errorf("while it is a lame duck: %v", err)
			}
			h.ends(0)
			if took := time.Since(begun); took < 500*time.Millisecond || took > 50*time.Second {
				t.Errorf("it ended after %v", took)
			}
		})
	}
}
