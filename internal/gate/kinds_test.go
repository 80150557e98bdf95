package gate

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ask opens one Spec of the builtin kinds and asks it once, for at most limit.
func ask(t *testing.T, s Spec, limit time.Duration) (string, error) {
	t.Helper()
	k := Kinds()[s.Kind]
	if err := k.Check(s); err != nil {
		t.Fatalf("Check(%v) = %v", s, err)
	}
	q, err := k.Open(s)
	if err != nil {
		t.Fatalf("Open(%v) = %v", s, err)
	}
	defer q.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return q.Ask(ctx)
}

const ample = time.Minute

func TestKinds(t *testing.T) {
	kinds := Kinds()
	for name, want := range map[string][2]bool{"exec": {true, true}, "file": {true, true}, "http": {true, true}, "tcp": {false, true}} {
		k := kinds[name]
		if k.Name != name || k.Gate != want[0] || k.Probe != want[1] {
			t.Errorf("kind %q: gate %v, probe %v", name, k.Gate, k.Probe)
		}
	}
	if len(kinds) != 4 {
		t.Errorf("%d kinds", len(kinds))
	}
	delete(kinds, "tcp")
	if _, ok := Kinds()["tcp"]; !ok {
		t.Error("the map is shared")
	}
}

func TestCheckRefuses(t *testing.T) {
	for kind, targets := range map[string][]string{
		"http": {"", "127.0.0.1:80", "ftp://h/", "http://", "http:///x", "http://h:x/", "unix:", "unix:/a:b"},
		"tcp":  {"", "127.0.0.1", "127.0.0.1:", "http://h:80", "unix:"},
		"file": {""},
		"exec": {""},
	} {
		for _, target := range targets {
			s := Spec{Kind: kind, Target: target}
			if err := Kinds()[kind].Check(s); err == nil || strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("Check(%v) = %v", s, err)
			}
			if kind == "file" || kind == "exec" {
				continue
			}
			if q, err := Kinds()[kind].Open(s); err == nil {
				t.Errorf("Open(%v) = %v, want an error", s, q)
			}
		}
	}
}

func TestHTTP(t *testing.T) {
	var conns, elsewhere atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		w.WriteHeader(code)
	})
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	for path, want := range map[string]string{
		"/status/200": "", "/status/204": "", "/status/299": "",
		"/status/304": srv.URL + "/status/304 says 304 Not Modified",
		"/status/503": srv.URL + "/status/503 says 503 Service Unavailable",
		"/redirect":   srv.URL + "/redirect says 302 Found",
	} {
		if got, err := ask(t, Spec{Kind: "http", Target: srv.URL + path}, ample); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	q, err := openHTTP(Spec{Kind: "http", Target: srv.URL + "/status/200"})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	before := conns.Load()
	for range 3 {
		if got, err := q.Ask(t.Context()); got != "" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := conns.Load() - before; n != 3 {
		t.Errorf("3 askings on %d connections, want a new one each", n)
	}
	if got, err := ask(t, Spec{Kind: "http", Target: srv.URL + "/hang"}, 20*time.Millisecond); err == nil {
		t.Errorf("a hang: %q, nil", got)
	}
}

func TestHTTPTellsNoSecret(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	got, err := ask(t, Spec{Kind: "http", Target: "http://user:hunter2@" + ln.Addr().String() + "/x?token=hunter2"}, ample)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Value
	srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Path)
	})}}
	srv.Start()
	for target, want := range map[string]string{"unix:" + path: "/", "unix:" + path + ":/ready": "/ready"} {
		if got, err := ask(t, Spec{Kind: "http", Target: target}, ample); got != "" || err != nil || asked.Load() != want {
			t.Errorf("%s: %q, %v, asked for %v", target, got, err, asked.Load())
		}
	}
	if got, err := ask(t, Spec{Kind: "tcp", Target: "unix:" + path}, ample); got != "" || err != nil {
		t.Errorf("tcp: %q, %v", got, err)
	}
	srv.Close()
	if got, err := ask(t, Spec{Kind: "tcp", Target: "unix:" + path}, ample); err == nil {
		t.Errorf("tcp after the end: %q, nil", got)
	}
}

func TestTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Spec{Kind: "tcp", Target: ln.Addr().String()}
	if got, err := ask(t, s, ample); got != "" || err != nil {
		t.Errorf("listening: %q, %v", got, err)
	}
	ln.Close()
	if got, err := ask(t, s, ample); err == nil {
		t.Errorf("closed: %q, nil", got)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, content := range map[string]string{"empty": "", "full": "x", "locks/a": "", "locks/b": "", "many/1": "", "many/2": "", "many/3": "", "many/4": ""} {
		if err := os.MkdirAll(filepath.Dir(in(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(in("none"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, gate, probe string }{
		{"absent", "", in("absent") + " is not there"},
		{"absent/deep", "", in("absent/deep") + " is not there"},
		{"empty", "", ""},
		{"full", in("full") + " is there", ""},
		{"none", "", ""},
		{"locks", in("locks") + ": a, b (2 in all)", ""},
		{"many", in("many") + ": 1, 2, 3, ... (4 in all)", ""},
	} {
		for gate, want := range map[bool]string{true: test.gate, false: test.probe} {
			if got, err := ask(t, Spec{Kind: "file", Target: in(test.name), Gate: gate}, ample); got != want || err != nil {
				t.Errorf("%s, gate %v: %q, %v; want %q", test.name, gate, got, err, want)
			}
		}
	}
	for _, gate := range []bool{true, false} {
		if got, err := ask(t, Spec{Kind: "file", Target: in("full/below"), Gate: gate}, ample); err == nil {
			t.Errorf("what cannot be looked at, gate %v: %q, nil", gate, got)
		}
	}
}

func TestExec(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{"exit 0", ""},
		{"echo all is well", ""},
		{"echo; echo '  3 jobs  '; echo more; exit 1", "3 jobs"},
		{"echo trouble >&2; exit 7", "trouble"},
		{"exit 7", "sh: exit status 7"},
		{"kill -9 $$", "sh: signal: killed"},
		{"yes | head -c 100000; exit 1", "y"},
	} {
		if got, err := ask(t, Spec{Kind: "exec", Args: []string{"sh", "-c", test.script}}, ample); got != test.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", test.script, got, err, test.want)
		}
	}
	if got, err := ask(t, Spec{Kind: "exec", Args: []string{"/nonexistent/check"}}, ample); err == nil {
		t.Errorf("no command: %q, nil", got)
	}
}

// What a command leaves behind may hold its output open: the answer is there
// all the same.
func TestExecDoesNotWaitForWhatIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	pidfile := filepath.Join(dir, "pid")
	got, err := ask(t, Spec{Kind: "exec", Args: []string{"sh", "-c", "sleep 1000 & echo $! >" + pidfile + "; exit 0"}}, ample)
	syscall.Kill(readPID(t, pidfile), syscall.SIGKILL)
	if got != "" || err != nil {
		t.Errorf("%q, %v; want go", got, err)
	}
}

func TestExecKillsItsGroup(t *testing.T) {
	dir := t.TempDir()
	pidfile := filepath.Join(dir, "pid")
	// The name appears with its content, so that it is never read half.
	script := "sleep 1000 & echo $! >" + pidfile + ".new; mv " + pidfile + ".new " + pidfile + "; wait"
	ctx, cancel := context.WithCancel(t.Context())
	q, err := Kinds()["exec"].Open(Spec{Kind: "exec", Args: []string{"sh", "-c", script}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := q.Ask(ctx)
		done <- err
	}()
	eventually(t, "the command has started its child", func() bool { _, err := os.Stat(pidfile); return err == nil })
	child := readPID(t, pidfile)
	cancel()
	if err := <-done; err == nil {
		t.Error("a killed command answered go")
	}
	eventually(t, "the child is dead", func() bool { return !alive(child) })
}

func readPID(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// alive says whether a process runs; a zombie, which nobody here may reap,
// does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !os.IsNotExist(err)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(ample)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("not in %v: %s", ample, what)
		case <-tick.C:
		}
	}
}
