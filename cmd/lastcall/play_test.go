package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall/lastcall/internal/testport"
	"github.com/rogpeppe/go-internal/testscript"
)

// server is the command that scripts run as a worker: on every socket it
// inherits it says who it is. TERM ends it.
func server() {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n == 0 {
		panic("no sockets to inherit")
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s %s\n", os.Getenv("LASTCALL_WORKER"), os.Getenv("GREETING"))
	})
	for fd := 3; fd < 3+n; fd++ {
		l, err := net.FileListener(os.NewFile(uintptr(fd), "inherited"))
		if err != nil {
			panic(err)
		}
		go http.Serve(l, handler)
	}
	<-term
}

// get [!] PORT PATTERN asks who answers there until the answer matches; with
// the exclamation mark, who connects must be refused.
func get(ts *testscript.TestScript, refused bool, args []string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	limit := time.Now().Add(20 * time.Second)
	var text []byte
	var err error
	for time.Now().Before(limit) {
		var r *http.Response
		if r, err = client.Get("http://127.0.0.1:" + args[0]); err == nil {
			text, err = io.ReadAll(r.Body)
			r.Body.Close()
		}
		switch {
		case refused && err != nil && strings.Contains(err.Error(), "refused"):
			return
		case !refused && err == nil && strings.Contains(string(text), args[1]):
			return
		}
	}
	ts.Fatalf("port %s: got %q, %v", args[0], text, err)
}

// port NAME... sets variables to ports that are the script's until it ends.
func port(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		n, release, err := testport.Hold(1)
		ts.Check(err)
		ts.Defer(release)
		ts.Setenv(name, strconv.Itoa(n))
	}
}

// occupy NAME sets a variable to a port that somebody listens on.
func occupy(ts *testscript.TestScript, _ bool, args []string) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { ts.Check(l.Close()) })
	_, n, _ := net.SplitHostPort(l.Addr().String())
	ts.Setenv(args[0], n)
}

// expand FILE... puts the values of variables into files.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o666))
	}
}
