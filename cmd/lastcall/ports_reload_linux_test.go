package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// Another port_base: the new workers are at the new ports, slot by slot, and the
// old ports are refused; one that fails leaves everything as it was.
func TestReloadToOtherPorts(t *testing.T) {
	for _, server := range []string{"brisk", "foreign"} {
		t.Run(server, func(t *testing.T) {
			h := aRow(t, server, 3).begin()
			old := h.base
			queues := h.storms(3, 2)
			h.base = old + 3
			h.lined("false", 3, "max_restarts = 1\n")
			if err := os.Symlink("/bin/false", h.path("false")); err != nil {
				t.Fatal(err)
			}
			if out, err := h.command("reload").CombinedOutput(); err == nil || !strings.Contains(string(out), "before it serve on") {
				t.Errorf("a reload to what does not start: %v\n%s", err, out)
			}
			h.until("the new ports are refused", func() bool { return h.refusedAtOnce(0) && h.refusedAtOnce(1) && h.refusedAtOnce(2) })
			for _, q := range queues {
				q.more(h.house, 10)
				q.lost(h.house, 0)
			}
			h.lined(server, 3)
			h.do("reload")
			for i := range 3 {
				if h.refused(i) {
					t.Errorf("nobody is at %s", h.at(i))
				}
			}
			news := h.storms(3, 2)
			h.base = old
			h.until("the old ports are refused", func() bool { return h.refusedAtOnce(0) && h.refusedAtOnce(1) && h.refusedAtOnce(2) })
			h.do("upgrade")
			h.do("restart")
			for _, q := range news {
				q.more(h.house, 10)
				q.lost(h.house, 0)
			}
		})
	}
}

// Half way through a roll to other ports the new generation fails: the slots that
// had been replaced go back to their old ports.
func TestRollbackOfPorts(t *testing.T) {
	for _, server := range []string{"brisk", "foreign"} {
		t.Run(server, func(t *testing.T) {
			h := aRow(t, server, 3, "env = { FRAGILE = \"none\" }\n").begin()
			if err := os.WriteFile(h.path("fragile"), []byte("2"), 0o666); err != nil {
				t.Fatal(err)
			}
			h.addr = h.at(0)
			held := h.visit() // so that the old worker is not gone, and has its socket still
			old := h.base
			h.base = old + 3
			h.lined(server, 3, "env = { FRAGILE = \"{slot}\" }\nmax_restarts = 1\n")
			var reload sync.WaitGroup
			reload.Go(func() {
				if out, err := h.command("reload").CombinedOutput(); err == nil || !strings.Contains(string(out), "before it serve on") {
					t.Errorf("a reload of which the last worker does not start: %v\n%s", err, out)
				}
			})
			h.logged("exited with status 1")
			h.until("the old workers are back", func() bool { // or their successors: of generation 1
				for i := range 3 {
					if w := h.worker(fmt.Sprintf("web.%d", i)); w.Generation != 1 || w.State != "ready" {
						return false
					}
				}
				return true
			})
			h.base = old
			for i := range 3 {
				w := h.worker(fmt.Sprintf("web.%d", i))
				if pid, err := askPid(h.at(i)); err != nil || pid != fmt.Sprint(w.PID) {
					t.Errorf("at %s answers %s, %v; want %d", h.at(i), pid, err, w.PID)
				}
			}
			if _, _, err := held.ask(); err != nil {
				t.Errorf("who was there before: %v", err)
			}
			held.Close()
			reload.Wait()
			h.base = old + 3
			h.until("the new ports are refused", func() bool { return h.refusedAtOnce(0) && h.refusedAtOnce(1) && h.refusedAtOnce(2) })
		})
	}
}

// Old and new ports that overlap cannot be had at once, which is said.
func TestReloadToPortsThatOverlap(t *testing.T) {
	h := aRow(t, "brisk", 3).begin()
	old := h.base
	h.base += 2
	h.lined("brisk", 3)
	want := fmt.Sprintf("%s is what web.2 has until then; go there by way of ports that do not overlap", h.at(0))
	if out, err := h.command("reload").CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, want %q\n%s", err, want, out)
	}
	h.base = old
	for i := range 3 {
		if h.refused(i) {
			t.Errorf("nobody is at %s", h.at(i))
		}
	}
	h.until("nothing is left bound", func() bool { return h.refusedAtOnce(3) && h.refusedAtOnce(4) })
}
