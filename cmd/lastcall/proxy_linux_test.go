package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// uncommented are the lines that the block of nginx says belong elsewhere.
func uncommented(block string) string {
	_, location, _ := strings.Cut(block, "# In the server that hands requests on:\n#\n")
	return strings.ReplaceAll("\n"+location, "\n# ", "\n")
}

func nginxConfig(dir, listen, block string) string {
	return fmt.Sprintf(`daemon off;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.log;
events { worker_connections 512; }
http {
access_log off;
client_body_temp_path %[1]s/body;
proxy_temp_path %[1]s/proxied;
fastcgi_temp_path %[1]s/fastcgi;
uwsgi_temp_path %[1]s/uwsgi;
scgi_temp_path %[1]s/scgi;
%[3]s
server {
listen %[2]s;
%[4]s
}
}
`, dir, listen, block, uncommented(block))
}

func haproxyConfig(_, listen, block string) string {
	return fmt.Sprintf(`defaults
timeout client 1m
frontend all
mode http
bind %s
default_backend web
%s`, listen, block)
}

// behind starts a proxy before a row of workers, by what the command prints for
// it, and has h.addr be its address.
func (h *row) behind(proxy string) {
	h.t.Helper()
	path, err := exec.LookPath(proxy)
	if err != nil {
		h.t.Skipf("%v; scripts/setup installs it", err)
	}
	block, err := h.command("upstream", proxy).Output()
	if err != nil {
		h.t.Fatalf("upstream %s: %v", proxy, err)
	}
	h.addr = freeAddress(h.t)
	config, args := nginxConfig, []string{"-p", h.dir, "-c"}
	if proxy == "haproxy" {
		config, args = haproxyConfig, []string{"-db", "-f"}
	}
	file := h.path(proxy + ".conf")
	if err := os.WriteFile(file, []byte(config(h.dir, h.addr, string(block))), 0o666); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(path, append(args, file)...)
	log, err := os.Create(h.path("proxy.log"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if h.t.Failed() {
			h.t.Logf("%s:\n%s%s\nby:\n%s", proxy, h.read("proxy.log"), h.read("nginx.log"), block)
		}
	})
	h.until("the proxy answers", func() bool {
		pid, err := askPid(h.addr)
		return err == nil && pid != ""
	})
}

// A crowd is clients of a proxy that keep their connections to it.
type crowd struct {
	answered atomic.Int64
	wrong    sync.Map // what else came, and one of each
	by       sync.Map // who has answered
	end      func()
}

func (h *row) crowd(methods ...string) *crowd {
	ctx, cancel := context.WithCancel(h.t.Context())
	c := &crowd{}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			client := http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				c.once(&client, methods[i%len(methods)], "http://"+h.addr)
			}
		})
	}
	c.end = sync.OnceFunc(func() { cancel(); all.Wait() })
	h.t.Cleanup(c.end)
	return c
}

func (c *crowd) once(client *http.Client, method, url string) {
	r, err := http.NewRequest(method, url, nil)
	if method == "POST" {
		r, err = http.NewRequest(method, url, strings.NewReader("work"))
	}
	if err == nil {
		var answer *http.Response
		if answer, err = client.Do(r); err == nil {
			defer answer.Body.Close()
			var b []byte
			b, err = io.ReadAll(answer.Body)
			c.by.Store(strings.TrimSpace(string(b)), true)
			if answer.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s, %s", answer.Status, method)
			}
		}
	}
	if err != nil {
		n, _ := c.wrong.LoadOrStore(err.Error(), new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		return
	}
	c.answered.Add(1)
}

// more waits until n more are answered.
func (c *crowd) more(h *row, n int64) {
	h.t.Helper()
	enough := c.answered.Load() + n
	h.until(fmt.Sprintf("%d more are answered", n), func() bool { return c.answered.Load() >= enough })
}

// fine wants that all were answered, and well.
func (c *crowd) fine(t *testing.T) {
	t.Helper()
	c.end()
	t.Logf("%d requests answered", c.answered.Load())
	c.wrong.Range(func(what, n any) bool {
		t.Errorf("%d times: %v", n.(*atomic.Int64).Load(), what)
		return true
	})
}

// Behind a proxy that balances over their ports workers are rolled, one is
// drained and started again, and their number changes within what the proxy
// knows; and no client sees anything but answers.
func TestBehindAProxy(t *testing.T) {
	for _, proxy := range []string{"nginx", "haproxy"} {
		for _, server := range []string{"brisk", "foreign"} {
			t.Run(proxy+"/"+server, func(t *testing.T) {
				h := aRow(t, server, 3).begin()
				h.behind(proxy)
				c := h.crowd("GET", "POST")
				for range 4 {
					h.do("restart")
					c.more(h, 100)
				}
				h.do("restart", "web.1")
				h.do("upgrade")
				c.more(h, 100)
				c.fine(t)

				c = h.crowd("GET")
				for i := range 6 {
					w := fmt.Sprintf("web.%d", i%3)
					pid := fmt.Sprint(h.worker(w).PID)
					h.do("drain", w)
					c.by.Clear()
					c.more(h, 100)
					if _, ok := c.by.Load(pid); ok {
						t.Errorf("%s is drained, and answers", w)
					}
					h.do("start", w)
					pid = fmt.Sprint(h.worker(w).PID)
					h.until("it is found again", func() bool { _, ok := c.by.Load(pid); return ok })
				}
				h.do("scale", "web=2")
				c.more(h, 100)
				h.do("scale", "web=3")
				c.more(h, 100)
				c.fine(t)
			})
		}
	}
}

// Workers that bind their ports themselves are replaced one after the other; the
// proxy tries the next one meanwhile.
func TestBehindAProxyByThemselves(t *testing.T) {
	for _, proxy := range []string{"nginx", "haproxy"} {
		t.Run(proxy, func(t *testing.T) {
			h := aRow(t, "foreign", 3)
			h.configure(strings.Replace(h.read("lastcall.toml"), "listen = [\"127.0.0.1:{port}\"]\n", "ready = { tcp = \"127.0.0.1:{port}\" }\n", 1))
			h.begin()
			h.behind(proxy)
			c := h.crowd("GET")
			for range 4 {
				h.do("restart")
				c.more(h, 100)
			}
			c.fine(t)
		})
	}
}

// One that is killed takes with it what it was answering, and who is tried next
// answers: its port is open all the time.
func TestKillBehindAProxy(t *testing.T) {
	h := aRow(t, "brisk", 3).begin()
	h.behind("nginx")
	c := h.crowd("GET")
	for i := range 6 {
		w := fmt.Sprintf("web.%d", i%3)
		if err := syscall.Kill(h.worker(w).PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.more(h, 100)
		h.do("start", w)
	}
	c.fine(t)
}
