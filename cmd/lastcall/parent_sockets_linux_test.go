package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A passer is what systemd is to a service with sockets: it passes them, and
// goes on listening.
type passer struct {
	h     *house
	files []*os.File
	names []string
}

func (h *house) passes() *passer {
	p := &passer{h: h}
	h.t.Cleanup(p.close)
	return p
}

func (p *passer) close() {
	for _, f := range p.files {
		f.Close() // perhaps once more
	}
}

// socket listens at an address.
func (p *passer) socket(name, network, addr string) {
	p.h.t.Helper()
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // as systemd's; Go's own cannot be quiesced, so nobody would see it
	l, err := plain.Listen(context.Background(), network, addr)
	if err != nil {
		p.h.t.Fatal(err)
	}
	if l, ok := l.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false)
	}
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		p.h.t.Fatal(err)
	}
	l.Close()
	p.add(name, f)
}

func (p *passer) add(name string, f *os.File) {
	p.files, p.names = append(p.files, f), append(p.names, name)
}

// command is lastcall with the sockets, and as who they are for: "$$" is itself.
func (p *passer) command(pid string, args ...string) *exec.Cmd {
	cmd := p.h.command(args...)
	passing := exec.Command("sh", append([]string{"-c", "LISTEN_PID=" + pid + ` exec "$0" "$@"`}, cmd.Args...)...)
	passing.Dir, passing.ExtraFiles = cmd.Dir, p.files
	passing.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(p.files)), "LISTEN_FDNAMES="+strings.Join(p.names, ":"))
	return passing
}

// starts starts the supervisor and waits until it serves.
func (p *passer) starts(args ...string) {
	p.h.t.Helper()
	p.h.startAs(p.command("$$", append([]string{"run"}, args...)...))
	p.h.logged("msg=ready\n")
}

// stopped ends the supervisor by TERM, and wants code 0 and nothing left.
func (h *house) stopped() {
	h.t.Helper()
	h.send(syscall.SIGTERM)
	_ = h.cmd.Wait()
	if code := h.cmd.ProcessState.ExitCode(); code != 0 {
		h.t.Errorf("exit code %d", code)
	}
	if left := h.left(); len(left) > 0 {
		h.t.Errorf("left %v", left)
	}
}

// comers send requests, each over a connection of its own, until end: that
// none is lost is what a socket that stays open promises.
func comers(network, addr string, n int) (end func() (answered int, lost []error)) {
	var all sync.WaitGroup
	var mu sync.Mutex
	answered, lost, quit := 0, []error(nil), make(chan struct{})
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true, Dial: func(string, string) (net.Conn, error) { return net.Dial(network, addr) },
	}}
	one := func() {
		r, err := client.Get("http://x/")
		if err == nil {
			_, err = io.ReadAll(r.Body)
			r.Body.Close()
		}
		mu.Lock()
		defer mu.Unlock()
		if answered++; err != nil {
			lost = append(lost, err)
		}
	}
	for range n {
		all.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
					one()
				}
			}
		})
	}
	return func() (int, []error) {
		close(quit)
		all.Wait()
		return answered, lost
	}
}

// Who comes while one supervisor stops and the next is not there yet waits in
// the parent's socket, and is served: with workers of the package and others, at
// a port and at a path.
func TestSocketsThatTheParentKeeps(t *testing.T) {
	for _, server := range []string{"brisk", "foreign"} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(server+"/"+network, func(t *testing.T) {
				t.Parallel()
				h := found(t)
				addr := h.addr
				if network == "unix" {
					addr = h.path("web.sock")
				}
				p := h.passes()
				p.socket("web", network, addr)
				serve := []string{"--workers", "2", "--listen", "web=" + addr, "--", h.path(server)}
				p.starts(serve...)
				end := comers(network, addr, 4)
				for range 3 {
					h.stopped()
					p.starts(serve...)
				}
				if answered, lost := end(); answered < 4 || len(lost) > 0 {
					t.Errorf("%d requests, %d lost: %v", answered, len(lost), lost)
				}
				h.stopped()
			})
		}
	}
}

// A socket is taken by name, or by its address; what nobody wants is an error
// that names both sides; what is meant for another process is left alone.
func TestSocketsOfTheParent(t *testing.T) {
	h := found(t)
	other := freeAddress(t)
	p := h.passes()
	p.socket("web", "tcp", h.addr)
	p.socket("lastcall.socket", "tcp", other)
	p.starts("--listen", "web="+freeAddress(t), "--listen", "admin="+other, "--", h.path("foreign"))
	if log := h.read("log"); !strings.Contains(log, "the socket that the parent passes is elsewhere") {
		t.Error("it does not say that web is elsewhere")
	}
	h.stopped()

	// web is taken by its name, so the other one is admin's, by its address.
	p.starts("--listen", "web="+h.addr, "--listen", "admin="+other, "--", h.path("foreign"))
	for _, l := range h.status().Listeners {
		if want := map[string]string{"web": h.addr, "admin": other}[l.Name]; l.Address != want {
			t.Errorf("%s is at %s, want %s", l.Name, l.Address, want)
		}
	}
	h.stopped()

	out, err := p.command("$$", "run", "--listen", "web="+h.addr, "--", h.path("foreign")).CombinedOutput()
	want := fmt.Sprintf(`the parent passes a socket "lastcall.socket" (%s), and no listener that is left has this name or address; the listeners are: web (%s)`, other, h.addr)
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %s", err, out)
	}
	h.configure(fmt.Sprintf("[listen]\nweb = %q\nadmin = %q\n[program.web]\ncommand = [%q]\nlisten = [\"web\"]\nbalance = \"slots\"\n", h.addr, other, h.path("foreign")))
	out, err = p.command("$$", "run").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `the parent passes the socket of web, and program web has balance = "slots"`) {
		t.Errorf("%v: %s", err, out)
	}

	// 1 is not its pid: it binds itself, and finds the port taken.
	out, err = p.command("1", "run", "--listen", "web="+h.addr, "--", h.path("foreign")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "address already in use") {
		t.Errorf("%v: %s", err, out)
	}
	file, err := os.Open(h.path("lastcall.toml"))
	if err != nil {
		t.Fatal(err)
	}
	p.add("web", file)
	p.names[0] = "first"
	out, err = p.command("$$", "run", "--", h.path("foreign")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `what it calls "web": take descriptor 5: it is not a socket`) {
		t.Errorf("%v: %s", err, out)
	}
}

// fromStore passes what an ear has in its store.
func (e *ear) fromStore() *passer {
	p := e.h.passes()
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, fds := range e.store {
		for _, fd := range fds {
			own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				e.h.t.Fatal(err)
			}
			p.add(name, os.NewFile(uintptr(own), name))
		}
	}
	return p
}

// A socket that lastcall has bound itself is in the parent's store over a
// restart: who comes meanwhile is served.
func TestStore(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			h := found(t)
			addr := h.addr
			if network == "unix" {
				addr = h.path("web.sock")
			}
			e := listens(h, "FDSTORE=1")
			serve := []string{"--workers", "2", "--listen", "web=" + addr, "--listen", "more=" + h.path("more.sock"), "--", h.path("foreign")}
			h.start(append([]string{}, serve...)...)
			_, n := e.hears(0, "READY=1")
			end := comers(network, addr, 4)
			for range 3 {
				h.stopped()
				p := e.fromStore()
				if len(p.names) != 1 || p.names[0] != "lastcall/web" {
					t.Fatalf("stored %v, want what there is room for: lastcall/web", p.names)
				}
				p.starts(serve...)
				p.close()
			}
			if answered, lost := end(); answered < 4 || len(lost) > 0 {
				t.Errorf("%d requests, %d lost: %v", answered, len(lost), lost)
			}
			_, n = e.hears(n, "READY=1")

			// An end that the operator wants is one for those who come, too.
			h.do("stop")
			e.hears(n, "FDSTOREREMOVE=1\nFDNAME=lastcall/web")
			_ = h.cmd.Wait()
			if _, err := net.DialTimeout(network, addr, 10*time.Second); !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOENT) {
				t.Errorf("somebody still listens: %v", err)
			}
			if _, err := os.Stat(addr); network == "unix" && err == nil {
				t.Error("the path is left")
			}
		})
	}
}

// What a reload or another configuration does not want any more does not stay in
// the store.
func TestStoreForgets(t *testing.T) {
	h := found(t)
	other := freeAddress(t)
	configure := func(listen, names string) {
		h.configure(fmt.Sprintf("[listen]\n%s\n[program.web]\ncommand = [%q]\nlisten = [%s]\n", listen, h.path("foreign"), names))
	}
	e := listens(h, "FDSTORE=8")
	configure(fmt.Sprintf("web = %q\nmore = %q", h.addr, other), `"web", "more"`)
	h.start()
	_, n := e.hears(0, "READY=1")
	e.hears(0, "FDSTORE=1\nFDPOLL=0\nFDNAME=lastcall/more")

	configure(fmt.Sprintf("web = %q", h.addr), `"web"`)
	h.do("reload")
	_, n = e.hears(n, "FDSTOREREMOVE=1\nFDNAME=lastcall/more")
	configure(fmt.Sprintf("web = %q", other), `"web"`) // another address
	h.do("reload")
	_, n = e.hears(n, "FDSTOREREMOVE=1\nFDNAME=lastcall/web")
	e.hears(n, "FDSTORE=1\nFDPOLL=0\nFDNAME=lastcall/web")
	h.free()
	h.stopped()

	configure(fmt.Sprintf("web = %q", h.addr), `"web"`) // and at the next start another again
	p := e.fromStore()
	p.starts()
	p.close()
	_, n = e.hears(n, "FDSTOREREMOVE=1\nFDNAME=lastcall/web")
	e.hears(n, "FDSTORE=1\nFDPOLL=0\nFDNAME=lastcall/web")
	h.stopped()
	if l, err := net.Listen("tcp", other); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	e.forget()
	h.free()
}
