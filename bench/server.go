package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/lastcall/lastcall"
)

// slowTime is how long the slow handler takes.
const slowTime = time.Second

// The bodies of the answers.
const (
	slowBody  = "done\n"
	quickBody = "ok\n"
)

// serve is the server that is measured.
func serve(args []string) error {
	f := flag.NewFlagSet(serveRole, flag.ContinueOnError)
	addr := f.String("addr", "", "where to listen without a supervisor")
	bare := f.Bool("bare", false, "without package lastcall")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *bare {
		return serveBare(*addr, http.HandlerFunc(answer))
	}
	return lastcall.ListenAndServe(*addr, http.HandlerFunc(answer))
}

// answer is a plain function: a mux would add to both sides of every
// comparison, and so make the package look cheaper than it is.
func answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/slow":
		time.Sleep(slowTime)
		_, _ = io.WriteString(w, slowBody) // the client has gone
	case "/usage":
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, m.Mallocs, u.Utime.Nano()+u.Stime.Nano())
	default:
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, quickBody)
	}
}

// serveBare is a graceful server as net/http's documentation has it.
func serveBare(addr string, h http.Handler) error {
	told, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	srv := &http.Server{Addr: addr, Handler: h}
	failed := make(chan error, 1)
	go func() { failed <- srv.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-told.Done():
	}
	return srv.Shutdown(context.Background())
}
