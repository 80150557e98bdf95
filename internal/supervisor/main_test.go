package supervisor

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall/lastcall/internal/gate"
	"github.com/lastcall/lastcall/internal/proc"
	"github.com/lastcall/lastcall/internal/sock"
	"golang.org/x/sys/unix"
)

// The test binary plays every worker: the first argument names the part.
func TestMain(m *testing.M) {
	proc.Shim()
	if len(os.Args) > 2 && os.Args[1] == "play" {
		play(os.Args[2], os.Args[3:])
		return
	}
	// The race detector holds every process for a second at its exit.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	// Whoever is the first to ask for signals starts a goroutine that never
	// ends, which must not be one of a bubble.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(m.Run())
}

func play(part string, args []string) {
	switch part {
	case "plain": // a server that knows nothing of lastcall but its socket
		plain()
	case "late": // a server that takes its time before it accepts
		for range time.Tick(5 * time.Millisecond) {
			if _, err := os.Stat(args[0]); err == nil {
				break
			}
		}
		plain()
	case "panic": // a supervisor whose loop panics
		playPanic()
	case "exit":
		code := 0
		fmt.Sscan(args[0], &code)
		fmt.Println("exiting", code)
		os.Exit(code)
	case "sleep": // until a signal kills it
		sayReady()
		<-time.After(time.Hour)
	case "deaf": // to every signal that can be ignored
		signal.Ignore(syscall.SIGTERM)
		sayReady()
		<-time.After(time.Hour)
	case "sulk": // it gives signs of life until a file appears; then it hears nothing either
		sulk(args[0])
	case "linger": // in a drain, until a file appears; the end of what it does is its last word
		signal.Ignore(syscall.SIGTERM)
		sayLines("X_LASTCALL_BEGIN=", "READY=1")
		awaitFile(args[0])
		sayLines("X_LASTCALL_END=", "STATUS=over")
	case "eat": // 128 MiB when a file appears
		sayReady()
		awaitFile(args[0])
		food, err := unix.Mmap(-1, 0, 128<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			panic(err)
		}
		for i := 0; i < len(food); i += os.Getpagesize() {
			food[i] = 1
		}
		<-time.After(time.Hour)
	case "until": // a file appears; then it ends in a way
		if _, err := os.Stat(args[0]); err != nil {
			sayReady()
		}
		until(args[0], args[1])
	default:
		fmt.Fprintln(os.Stderr, "no part", part)
		os.Exit(99)
	}
}

// sayReady tells the supervisor by systemd's protocol.
func sayReady() {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		panic(err)
	}
	fmt.Fprint(c, "STATUS=playing\nREADY=1")
	c.Close()
}

// sayLines says something of eight operations, each in a datagram, and one thing more.
func sayLines(mark, more string) {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		panic(err)
	}
	for i := range 8 {
		fmt.Fprintf(c, "%swork %d", mark, i)
	}
	fmt.Fprint(c, more)
}

// sulk ignores ABRT too, as a process that cannot even end does.
func sulk(file string) {
	signal.Ignore(syscall.SIGABRT)
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		panic(err)
	}
	fmt.Fprint(c, "READY=1")
	for range time.Tick(20 * time.Millisecond) {
		fmt.Fprint(c, "WATCHDOG=1")
		if os.Remove(file) == nil {
			break
		}
	}
	<-time.After(time.Hour)
}

// awaitFile waits for a file and removes it: only one worker takes it.
func awaitFile(file string) {
	for range time.Tick(5 * time.Millisecond) {
		if os.Remove(file) == nil {
			return
		}
	}
}

// until waits for a file, and then does "exit N" or "kill N".
func until(file, how string) {
	awaitFile(file)
	n := 0
	if _, err := fmt.Sscanf(how, "exit %d", &n); err == nil {
		os.Exit(n)
	}
	fmt.Sscanf(how, "kill %d", &n)
	_ = syscall.Kill(os.Getpid(), syscall.Signal(n))
	<-time.After(time.Hour)
}

// plain serves HTTP on the inherited socket: GET / says who it is, GET
// /exit?N exits with status N, GET /kill?N sends itself a signal. TERM closes
// its listener, waits for what is in progress and exits 0.
func plain() {
	l, err := sock.Inherit(3)
	if err != nil {
		panic(err)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		fmt.Sscan(r.URL.RawQuery, &n)
		switch r.URL.Path {
		case "/exit":
			os.Exit(n)
		case "/kill":
			_ = syscall.Kill(os.Getpid(), syscall.Signal(n))
			select {}
		}
		fmt.Fprintf(w, "%s %d", os.Getenv("LASTCALL_SLOT"), os.Getpid())
	})}
	go server.Serve(l)
	<-term
	server.Close()
}

// a stage runs one supervisor.
type stage struct {
	*Supervisor
	t      *testing.T
	log    *lockedBuffer
	out    *lockedBuffer
	report chan Report
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// program returns a program that plays a part.
func program(name string, workers int, part ...string) Program {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return Program{
		Name: name, Command: append([]string{self, "play"}, part...), Path: self, Workers: workers,
		ReadyTimeout: 10 * time.Second, MinUptime: time.Minute, StopSignal: syscall.SIGTERM,
		StopTimeout: 2 * time.Second, DrainTimeout: 5 * time.Second,
		MaxRestarts: 10, RestartWindow: time.Minute, MaxSurge: 1,
	}
}

func run(t *testing.T, c Config) *stage {
	t.Helper()
	return runLoading(t, c, nil)
}

// runLoading runs c, until load says something else to a reload.
func runLoading(t *testing.T, c Config, load func() (Config, error)) *stage {
	t.Helper()
	s := &stage{t: t, log: &lockedBuffer{}, out: &lockedBuffer{}, report: make(chan Report, 1)}
	var err error
	s.Supervisor, err = New(c, Options{
		Logger: slog.New(slog.NewTextHandler(s.log, nil)), Stdout: s.out, Stderr: s.out, Kinds: gate.Kinds(), Load: load,
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { s.report <- s.Run() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s\noutput:\n%s", s.log, s.out)
		}
	})
	return s
}

// until polls a condition.
func (s *stage) until(what string, ok func() bool) {
	s.t.Helper()
	limit := time.After(30 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-limit:
			s.t.Fatalf("waited 30 s until %s", what)
		}
	}
}

func (s *stage) logged(text string) {
	s.t.Helper()
	s.until("it is logged: "+text, func() bool { return strings.Contains(s.log.String(), text) })
}

func (s *stage) ended() Report {
	s.t.Helper()
	select {
	case r := <-s.report:
		return r
	case <-time.After(30 * time.Second):
		s.t.Fatal("the supervisor does not end")
	}
	return Report{}
}

func (s *stage) get(addr, path string) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := client.Get("http://" + addr + path)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

func errorSays(err error, text string) bool {
	return err != nil && strings.Contains(err.Error(), text)
}

func web(t *testing.T) Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return Listener{Name: "web", Address: sock.Address{Network: "tcp", Address: l.Addr().String()}}
}
