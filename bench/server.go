package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
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
	secure := f.Bool("tls", false, "with TLS, and so with HTTP/2")
	h2c := f.Bool("h2c", false, "with HTTP/2 without TLS")
	count := f.Bool("count", false, "say in the end how many requests were begun")
	if err := f.Parse(args); err != nil {
		return err
	}
	srv := &http.Server{Addr: *addr, Handler: http.HandlerFunc(answer)}
	if *secure {
		own, err := ownCertificate()
		if err != nil {
			return err
		}
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{own}}
	}
	if *count {
		var begun atomic.Int64
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun.Add(1)
			answer(w, r)
		})
		defer func() { fmt.Println("begun", begun.Load()) }()
	}
	if *h2c {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	switch {
	case *bare:
		return serveBare(srv)
	case *secure || *h2c:
		return new(lastcall.Worker).Serve(context.Background(), lastcall.Server{HTTP: srv})
	default:
		return lastcall.ListenAndServe(*addr, srv.Handler)
	}
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

// serveBare is a graceful server as net/http's documentation has it, on the
// socket that it inherits if there is one.
func serveBare(srv *http.Server) error {
	told, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	open := func() (net.Listener, error) { return net.Listen("tcp", srv.Addr) }
	if os.Getenv("LISTEN_FDS") != "" {
		open = func() (net.Listener, error) { return net.FileListener(os.NewFile(3, "inherited")) }
	}
	listener, err := open()
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-told.Done():
	}
	return srv.Shutdown(context.Background())
}
